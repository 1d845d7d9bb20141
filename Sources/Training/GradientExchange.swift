import Collectives
import Layers
import Tensors

/// The update: gradients are reduce-scattered, each worker updates its slice of the parameters with its slice of the
/// optimizer's state, and the parameters are all-gathered.
///
/// A segment's parameters are updated as soon as its backward pass is over, while their gradients are still in a cache
/// and before the next segment takes their memory. Everything is summed in the order of the shard tree: a worker has
/// already added its shards up to the fewest nodes; here the nodes of a rank's workers are joined, the roots of all ranks
/// travel, and each slice's owner adds them up.
///
/// Sendable: workers write disjoint slices and meet at the barrier before they read each other's.
final class GradientExchange: @unchecked Sendable {
  /// How a worker's shards add up to its nodes, by worker of this rank.
  let shardSums: [RunSum]
  private let layout: [UpdatedRange]
  private let segments: [Segment]
  /// How the nodes of this rank's workers add up to the rank's.
  private let rankSum: SumSchedule
  /// How the nodes of all ranks add up to the total.
  private let ranks: TreePartition
  private let rank: Int
  /// Gradients of two segments, because a worker may begin one while another still reads the one before: one array per
  /// node of each worker of this rank.
  private let gradients: [[[AlignedBuffer<Float>]]]
  /// The other ranks' nodes of this rank's slice of a segment.
  private let received: AlignedBuffer<Float>
  /// The optimizer's state of this rank's slices.
  private let velocities: AlignedBuffer<Float>

  /// A segment's part of the flat parameter array, and its gradients, addressed from where the flat array would start.
  private final class Segment {
    let range: Range<Int>
    /// Each rank's slice.
    let slices: [Range<Int>]
    /// Where the velocities of this rank's slice begin.
    let velocities: Int
    /// The arrays of this rank's nodes, by worker.
    let nodes: [[UnsafeMutablePointer<Float>]]
    /// The same in a row.
    let ownSources: [UnsafePointer<Float>]
    /// What is added up to the total of this rank's slice.
    let sources: [UnsafePointer<Float>]

    /// - Parameter received: the roots of all ranks for this rank's slice; none if there is one rank.
    init(
      range: Range<Int>, slices: [Range<Int>], velocities: Int, nodes: [[UnsafeMutablePointer<Float>]],
      received: [UnsafePointer<Float>]
    ) {
      (self.range, self.slices, self.velocities, self.nodes) = (range, slices, velocities, nodes)
      ownSources = nodes.joined().map { UnsafePointer($0) }
      sources = received.isEmpty ? ownSources : received
    }
  }

  init(_ partition: BatchPartition, _ plan: Plan, rank: Int) {
    let (grid, tree, ranks) = (partition.grid, partition.tree, partition.ranks)
    let shardSums = (0..<grid.threads).map { index in
      RunSum(tree, partition.shards(ofWorker: rank * grid.threads + index))
    }
    let ranges = plan.segments.map(\.parameters)
    let gradients = (0..<2).map { side in
      let count = ranges.enumerated().filter { $0.offset % 2 == side }.map(\.element.count).max() ?? 0
      return shardSums.map { $0.nodes.map { _ in AlignedBuffer<Float>(count: count) } }
    }
    let slices = ranges.map { range in (0..<grid.ranks).map { Self.slice($0, of: grid.ranks, range) } }
    let longest = slices.map { $0[rank].count }.max() ?? 0
    let received = AlignedBuffer<Float>(count: grid.ranks > 1 ? longest * ranks.rootCount : 0)
    var velocityCount = 0
    segments = ranges.indices.map { number in
      let mine = slices[number][rank]
      defer { velocityCount += mine.count }
      let nodes = gradients[number % 2].map { $0.map { $0.start - ranges[number].lowerBound } }
      let rows = (0..<ranks.rootCount).map { UnsafePointer(received.start + $0 * mine.count - mine.lowerBound) }
      return Segment(
        range: ranges[number], slices: slices[number], velocities: velocityCount, nodes: nodes,
        received: grid.ranks > 1 ? rows : [])
    }
    velocities = AlignedBuffer(count: velocityCount)
    rankSum = SumSchedule(tree, shardSums.flatMap(\.nodes))
    layout = plan.parameters.map { UpdatedRange($0) }
    (self.rank, self.ranks, self.shardSums) = (rank, ranks, shardSums)
    (self.gradients, self.received) = (gradients, received)
  }

  /// Part `index` of `count` parts of a run, cut at cache lines.
  private static func slice(_ index: Int, of count: Int, _ run: Range<Int>) -> Range<Int> {
    func cut(_ index: Int) -> Int { index == count ? run.upperBound : run.lowerBound + run.count * index / count & ~15 }
    return cut(index)..<cut(index + 1)
  }

  /// The array of one of a worker's nodes for a segment's gradients, from where the flat array would start.
  func node(_ slot: Int, worker: Int, segment number: Int) -> UnsafeMutablePointer<Float> {
    segments[number].nodes[worker][slot]
  }

  // MARK: - The update

  /// Sums a segment's gradients over all shards and updates its parameters; called by every worker, when all of this
  /// rank have finished the segment's backward pass.
  func update(
    segment number: Int, _ parameters: UnsafeMutablePointer<Float>, _ optimizer: SGD, learningRate: Float,
    batches: Int, _ worker: Worker
  ) throws {
    let segment = segments[number]
    let isAlone = worker.communicator.size == 1
    if !isAlone {
      try joinWorkers(segment, worker)
      if worker.index == 0 {
        try worker.communicator.exchangeSlices(
          of: Array(segment.ownSources.prefix(rankSum.results.count)), ranks, slices: segment.slices,
          received: received.start)
      }
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
    let isAlone = worker.communicator.size == 1
    let slice = segment.slices[rank]
    let velocities = velocities.start + (segment.velocities - slice.lowerBound)
    let mine = Self.slice(worker.index, of: worker.grid.threads, slice)
    TreeSum.fold(isAlone ? rankSum : ranks.schedule, segment.sources, mine) { _, offset, gradients in
      optimizer.update(
        parameters, gradients, velocities + offset, at: offset, layout, learningRate: learningRate, batches: batches)
    }
  }

  /// Completes the parameters on every rank; called by every worker when all segments are updated.
  func gatherParameters(_ parameters: UnsafeMutablePointer<Float>, _ worker: Worker) throws {
    try worker.barrier.wait()
    guard worker.communicator.size > 1 else { return }
    if worker.index == 0 { try allGather(parameters, worker.communicator) }
    try worker.barrier.wait()
  }

  /// Adds the nodes of this rank's workers up to the rank's, in the first of the arrays, each worker a part of them.
  private func joinWorkers(_ segment: Segment, _ worker: Worker) throws {
    guard worker.grid.threads > 1 else { return }
    // In place: every source of a chunk has been read when the chunk's sums are written.
    let mine = Self.slice(worker.index, of: worker.grid.threads, segment.range)
    TreeSum.fold(rankSum, segment.ownSources, mine) { root, offset, sums in
      (UnsafeMutablePointer(mutating: segment.ownSources[root]) + offset).update(
        from: sums.baseAddress!, count: sums.count)
    }
    try worker.barrier.wait()
  }

  /// Completes a flat array of which each rank has its slices.
  private func allGather(_ array: UnsafeMutablePointer<Float>, _ communicator: any Communicator) throws {
    for segment in segments where !segment.range.isEmpty {
      try communicator.allGather(
        UnsafeMutableRawBufferPointer(
          start: array + segment.range.lowerBound, count: segment.range.count * MemoryLayout<Float>.size),
        counts: segment.slices.map { $0.count * MemoryLayout<Float>.size })
    }
  }

  // MARK: - The optimizer's state, between steps

  /// The velocities of all parameters, on every rank.
  func gatheredVelocities(_ communicator: any Communicator) throws -> AlignedBuffer<Float> {
    let all = AlignedBuffer<Float>(count: segments.last?.range.upperBound ?? 0)
    for segment in segments {
      let slice = segment.slices[rank]
      (all.start + slice.lowerBound).update(from: velocities.start + segment.velocities, count: slice.count)
    }
    try allGather(all.start, communicator)
    return all
  }

  /// Takes this rank's slices of the velocities of all parameters.
  func takeVelocities(_ all: UnsafePointer<Float>) {
    for segment in segments {
      let slice = segment.slices[rank]
      (velocities.start + segment.velocities).update(from: all + slice.lowerBound, count: slice.count)
    }
  }
}
