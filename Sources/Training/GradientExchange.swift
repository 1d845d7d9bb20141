import Collectives
import Kernels
import Layers
import Tensors

/// The update: gradients are reduce-scattered, each worker updates its slice of the parameters with its slice of the
/// optimizer's state, and the parameters are all-gathered.
///
/// A segment's parameters are updated as soon as its backward pass is over, while their gradients are still in a cache
/// and before the next segment takes their memory. Everything is summed in the order of the shard tree: a worker has
/// already added its shards up to the fewest nodes; here the nodes of a rank's workers are joined, and each slice's owner
/// adds up the roots of all ranks. Those of its machine it reads where they are, in memory that the machine's ranks share;
/// the others travel.
///
/// Sendable: workers write disjoint slices and meet at barriers before they read each other's.
final class GradientExchange: @unchecked Sendable {
  /// How a worker's shards add up to its nodes, by worker of this rank.
  let shardSums: [RunSum]
  private let layout: [UpdatedRange]
  private let segments: [Segment]
  /// How the nodes of this rank's workers add up to the rank's.
  private let rankSum: SumSchedule
  /// How the nodes of all ranks add up to the total.
  private let ranks: TreePartition
  private let communicator: any Communicator
  private let spansMachines: Bool
  /// Whether other workers read what one updates. Known here, because workers that asked the communicator at the same time
  /// would wait for each other.
  private let isShared: Bool
  /// The nodes of each rank of this machine.
  private let nodeCounts: [Int]
  /// Of each segment, once there is memory for them.
  private var gradients: [Gradients] = []
  private var memory: GradientMemory?
  /// The roots of other machines' ranks: their part of this rank's slice of a segment.
  private let received: AlignedBuffer<Float>
  /// The optimizer's state of this rank's slices.
  private let velocities: AlignedBuffer<Float>

  /// A segment's part of the flat parameter array.
  private struct Segment {
    let range: Range<Int>
    /// Each rank's slice.
    let slices: [Range<Int>]
    /// Where the velocities of this rank's slice begin.
    let velocities: Int
  }

  /// A segment's gradients, addressed from where the flat array would start.
  private final class Gradients {
    /// The arrays of this rank's nodes, by worker.
    let nodes: [[UnsafeMutablePointer<Float>]]
    /// The same in a row.
    let ownSources: [UnsafePointer<Float>]
    /// What is added up to the total of this rank's slice: the nodes of its workers, or the roots of all ranks.
    let sources: [UnsafePointer<Float>]
    /// Those among the sources that a worker has not written, by worker.
    let others: [[UnsafeMutablePointer<Float>]]

    init(nodes: [[UnsafeMutablePointer<Float>]], sources: [UnsafeMutablePointer<Float>]) {
      self.nodes = nodes
      ownSources = nodes.joined().map { UnsafePointer($0) }
      self.sources = sources.map { UnsafePointer($0) }
      others = nodes.map { own in sources.filter { !own.contains($0) } }
    }
  }

  init(_ partition: BatchPartition, _ plan: Plan, _ communicator: any Communicator) {
    let (grid, tree, ranks, rank) = (partition.grid, partition.tree, partition.ranks, communicator.rank)
    func shardSums(ofRank rank: Int) -> [RunSum] {
      (0..<grid.threads).map { RunSum(tree, partition.shards(ofWorker: rank * grid.threads + $0)) }
    }
    let ranges = plan.segments.map(\.parameters)
    let slices = ranges.map { range in (0..<grid.ranks).map { Self.slice($0, of: grid.ranks, range) } }
    var velocityCount = 0
    segments = zip(ranges, slices).map { range, slices in
      defer { velocityCount += slices[rank].count }
      return Segment(range: range, slices: slices, velocities: velocityCount)
    }
    velocities = AlignedBuffer(count: velocityCount)
    let longest = slices.map { $0[rank].count }.max() ?? 0
    spansMachines = communicator.machines.count > 1
    isShared = communicator.machine.count * grid.threads > 1
    received = AlignedBuffer(count: spansMachines ? longest * ranks.rootCount : 0)
    nodeCounts = communicator.machine.map { shardSums(ofRank: $0).reduce(0) { $0 + $1.nodes.count } }
    let shardSums = shardSums(ofRank: rank)
    rankSum = SumSchedule(tree, shardSums.flatMap(\.nodes))
    layout = plan.parameters.map { UpdatedRange($0) }
    (self.communicator, self.ranks, self.shardSums) = (communicator, ranks, shardSums)
  }

  /// Finds memory for gradients, if there is none yet; called by all ranks, by the thread that meets the others.
  func shareMemory() throws {
    guard memory == nil else { return }
    let memory = try GradientMemory(segments.map(\.range), nodeCounts: nodeCounts, communicator)
    gradients = segments.enumerated().map { number, segment in
      var own = memory.arrays(ofRank: communicator.rank, segment: number)![...]
      let nodes = shardSums.map { sum in
        defer { own = own.dropFirst(sum.nodes.count) }
        return Array(own.prefix(sum.nodes.count))
      }
      guard communicator.size > 1 else { return Gradients(nodes: nodes, sources: Array(nodes.joined())) }
      let slice = segment.slices[communicator.rank]
      let roots = ranks.roots.enumerated().flatMap { rank, roots in
        let first = ranks.firstRoot(of: rank)
        return memory.arrays(ofRank: rank, segment: number).map { Array($0.prefix(roots.count)) }
          ?? roots.indices.map { received.start + (first + $0) * slice.count - slice.lowerBound }
      }
      return Gradients(nodes: nodes, sources: roots)
    }
    self.memory = memory
  }

  /// Part `index` of `count` parts of a run, cut at cache lines.
  private static func slice(_ index: Int, of count: Int, _ run: Range<Int>) -> Range<Int> {
    func cut(_ index: Int) -> Int { index == count ? run.upperBound : run.lowerBound + run.count * index / count & ~15 }
    return cut(index)..<cut(index + 1)
  }

  /// The array of one of a worker's nodes for a segment's gradients, from where the flat array would start.
  func node(_ slot: Int, worker: Int, segment number: Int) -> UnsafeMutablePointer<Float> {
    gradients[number].nodes[worker][slot]
  }

  // MARK: - The update

  /// Sums a segment's gradients over all shards and updates its parameters; called by every worker, when all of this
  /// rank have finished the segment's backward pass.
  func update(
    segment number: Int, _ parameters: UnsafeMutablePointer<Float>, _ optimizer: SGD, learningRate: Float,
    batches: Int, _ worker: Worker
  ) throws {
    if communicator.size > 1 {
      try joinWorkers(segment: number, worker)
      if worker.index == 0 { try exchange(segment: number) }
      try worker.barrier.wait()
    }
    apply(segment: number, parameters, optimizer, learningRate: learningRate, batches: batches, worker)
  }

  /// A worker's own part of the update: adds up its slice of the gradients, and takes the optimizer's step with it.
  func apply(
    segment number: Int, _ parameters: UnsafeMutablePointer<Float>, _ optimizer: SGD, learningRate: Float,
    batches: Int, _ worker: Worker
  ) {
    let segment = segments[number]
    let slice = segment.slices[communicator.rank]
    let velocities = velocities.start + (segment.velocities - slice.lowerBound)
    let mine = Self.slice(worker.index, of: worker.grid.threads, slice)
    let schedule = communicator.size == 1 ? rankSum : ranks.schedule
    let others = gradients[number].others[worker.index]
    TreeSum.fold(schedule, gradients[number].sources, mine) { _, offset, sums in
      optimizer.update(
        parameters, sums, velocities + offset, at: offset, layout, learningRate: learningRate, batches: batches,
        isShared: isShared)
      // Whoever writes here next finds the lines in one cache: where two had read them, that would take up to four times
      // as long.
      for array in others { (array + offset).update(from: sums.baseAddress!, count: sums.count) }
    }
    if isShared { SGDUpdate.finish() }
  }

  /// Completes the parameters on every machine; called by every worker when all segments are updated.
  func gatherParameters(_ parameters: UnsafeMutablePointer<Float>, _ worker: Worker) throws {
    try worker.barrier.wait()
    guard communicator.size > 1 else { return }
    if worker.index == 0 {
      try communicator.machineBarrier()
      if spansMachines {
        for segment in segments where !segment.range.isEmpty {
          try communicator.gatherSlices(parameters, slices: segment.slices)
        }
        try communicator.machineBarrier()
      }
    }
    try worker.barrier.wait()
  }

  /// Adds the nodes of this rank's workers up to the rank's, in the first of the arrays, each worker a part of them.
  private func joinWorkers(segment number: Int, _ worker: Worker) throws {
    guard worker.grid.threads > 1 else { return }
    let nodes = gradients[number].ownSources
    // In place: every source of a chunk has been read when the chunk's sums are written.
    let mine = Self.slice(worker.index, of: worker.grid.threads, segments[number].range)
    TreeSum.fold(rankSum, nodes, mine) { root, offset, sums in
      (UnsafeMutablePointer(mutating: nodes[root]) + offset).update(from: sums.baseAddress!, count: sums.count)
    }
    try worker.barrier.wait()
  }

  /// Makes the roots of all ranks readable: those of this machine have been left by the backward pass.
  private func exchange(segment number: Int) throws {
    try communicator.machineBarrier()
    guard spansMachines else { return }
    try communicator.exchangeSlices(
      of: Array(gradients[number].ownSources.prefix(rankSum.results.count)), ranks, slices: segments[number].slices,
      received: received.start)
  }

  // MARK: - The optimizer's state, between steps

  /// The velocities of all parameters, on every rank.
  func gatheredVelocities() throws -> AlignedBuffer<Float> {
    let all = AlignedBuffer<Float>(count: segments.last?.range.upperBound ?? 0)
    let element = MemoryLayout<Float>.size
    for segment in segments where !segment.range.isEmpty {
      let slice = segment.slices[communicator.rank]
      (all.start + slice.lowerBound).update(from: velocities.start + segment.velocities, count: slice.count)
      try communicator.allGather(
        UnsafeMutableRawBufferPointer(
          start: all.start + segment.range.lowerBound, count: segment.range.count * element),
        counts: segment.slices.map { $0.count * element })
    }
    return all
  }

  /// Takes this rank's slices of the velocities of all parameters.
  func takeVelocities(_ all: UnsafePointer<Float>) {
    for segment in segments {
      let slice = segment.slices[communicator.rank]
      (velocities.start + segment.velocities).update(from: all + slice.lowerBound, count: slice.count)
    }
  }
}
