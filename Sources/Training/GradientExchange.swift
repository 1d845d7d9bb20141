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
  /// The nodes of each worker of each rank of this machine.
  private let nodeCounts: [[Int]]
  /// By worker of this rank.
  private let shares: SharedArray<Parts>
  private let parameters: ParameterMemory
  private var memory: GradientMemory?
  /// Of each worker of this rank, room for sums of a segment that are not finished: they are nobody else's.
  private let scratch: [AlignedBuffer<Float>]
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

  /// A worker's share of the update.
  private final class Parts {
    /// Of each segment, in this turn.
    var parts: [Part] = []
    /// The parameters, as the worker sees them.
    var parameters: UnsafeMutablePointer<Float>!
    /// The same in each turn, once there is memory for gradients.
    var turns: [(parts: [Part], parameters: UnsafeMutablePointer<Float>)] = []
  }

  /// A worker's part of a segment's update. Arrays are addressed from where the flat array would start.
  private final class Part {
    /// The parameters, or parts of them, that the worker updates, and their velocities.
    let parameters: [UpdatedRange]
    let velocities: UnsafeMutablePointer<Float>
    /// Where the gradients of the worker's shards are put together: its nodes first, then scratch, then those of stolen slices.
    let slots: UnsafeMutableBufferPointer<UnsafeMutablePointer<Float>>
    /// The arrays of the nodes of all workers of this rank.
    let rankNodes: [UnsafeMutablePointer<Float>]
    /// The sum over the rank's workers, and the total.
    let rankSum: GradientSum
    let total: GradientSum
    /// Where workers have parameters of their own, those of the next step: this worker's, and the others' of the machine.
    let updated: UnsafeMutablePointer<Float>?
    let copies: [UnsafeMutablePointer<Float>]

    init(
      parameters: [UpdatedRange], velocities: UnsafeMutablePointer<Float>, slots: [UnsafeMutablePointer<Float>],
      rankNodes: [UnsafeMutablePointer<Float>], rankSum: GradientSum, total: GradientSum,
      updated: UnsafeMutablePointer<Float>?, copies: [UnsafeMutablePointer<Float>]
    ) {
      (self.parameters, self.velocities) = (parameters, velocities)
      self.slots = .table(slots)
      (self.rankNodes, self.rankSum, self.total) = (rankNodes, rankSum, total)
      (self.updated, self.copies) = (updated, copies)
    }

    deinit { slots.deallocate() }
  }

  init(
    _ partition: BatchPartition, _ plan: Plan, _ parameters: ParameterMemory, _ communicator: any Communicator
  ) {
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
    isShared = communicator.machine.count * grid.threads > 1 && !parameters.isReplicated
    received = AlignedBuffer(count: spansMachines ? longest * ranks.rootCount : 0)
    nodeCounts = communicator.machine.map { shardSums(ofRank: $0).map(\.nodes.count) }
    let shardSums = shardSums(ofRank: rank)
    rankSum = SumSchedule(tree, shardSums.flatMap(\.nodes))
    scratch = shardSums.map { sum in
      AlignedBuffer(
        count: plan.segments.map { $0.parameters.count * (sum.slotCount - sum.nodes.count + $0.mostStolenBackward) }
          .max() ?? 0)
    }
    layout = plan.parameters.map { UpdatedRange($0) }
    shares = SharedArray(shardSums.map { _ in Parts() })
    (self.parameters, self.communicator, self.ranks, self.shardSums) = (parameters, communicator, ranks, shardSums)
  }

  /// Takes memory, once parameters are published; called by all ranks, by the thread that meets the others.
  func begin() throws {
    if memory != nil { return }
    let memory = try GradientMemory(segments.map(\.range), nodeCounts: nodeCounts, parameters, communicator)
    for worker in shardSums.indices {
      shares[worker].turns = (0..<(parameters.isReplicated ? 2 : 1)).map { turn in
        (
          segments.indices.map { part(ofWorker: worker, memory, segment: $0, turn: turn) },
          parameters.start(ofWorker: worker, turn: turn)
        )
      }
    }
    self.memory = memory
  }

  /// Prepares a worker for a step; returns the parameters as it sees them.
  func begin(_ worker: Worker) -> UnsafeMutablePointer<Float> {
    shares.with(worker.index) { share in
      (share.parts, share.parameters) = share.turns[parameters.turn]
      return share.parameters
    }
  }

  /// Made for each worker anew: workers that counted references to the same arrays would wait for each other.
  private func part(ofWorker worker: Int, _ memory: GradientMemory, segment number: Int, turn: Int) -> Part {
    let slice = segments[number].slices[communicator.rank]
    let arrays = memory.arrays(ofRank: communicator.rank, segment: number, turn: turn)!
    let (nodes, rankNodes) = (arrays[worker], arrays.flatMap { $0 })
    let rankSum = GradientSum(rankSum, rankNodes, own: nodes)
    let updated = parameters.next(turn)
    let mine = updated.isEmpty ? nil : parameters.array(ofWorker: worker, rank: communicator.rank, turn: 1 - turn)
    let (range, share) = (segments[number].range, Self.slice(worker, of: shardSums.count, slice))
    let scratchCount = shardSums[worker].slotCount - nodes.count + Route.mostStolen
    // Seen from the flat array's start it begins before it.
    let scratch = (0..<scratchCount).map { self.scratch[worker].start + ($0 * range.count - range.lowerBound) }
    return Part(
      parameters: layout.compactMap { $0.clamped(to: share) },
      velocities: velocities.start + (segments[number].velocities - slice.lowerBound),
      slots: (Route.isReversed(segment: number) ? Array(nodes.reversed()) : nodes) + scratch,
      rankNodes: rankNodes, rankSum: rankSum,
      total: communicator.size == 1 ? rankSum : total(memory, segment: number, turn: turn, own: nodes),
      updated: mine, copies: updated.filter { $0 != mine })
  }

  /// The sum over the roots of all ranks, for this rank's slice of a segment.
  private func total(
    _ memory: GradientMemory, segment number: Int, turn: Int, own nodes: [UnsafeMutablePointer<Float>]
  ) -> GradientSum {
    let slice = segments[number].slices[communicator.rank]
    let roots = ranks.roots.enumerated().flatMap { rank, roots in
      let first = ranks.firstRoot(of: rank)
      return memory.arrays(ofRank: rank, segment: number, turn: turn).map { Array($0.joined().prefix(roots.count)) }
        ?? roots.indices.map { received.start + (first + $0) * slice.count - slice.lowerBound }
    }
    return GradientSum(ranks.schedule, roots, own: nodes)
  }

  /// Part `index` of `count` parts of a run, cut at cache lines.
  private static func slice(_ index: Int, of count: Int, _ run: Range<Int>) -> Range<Int> {
    func cut(_ index: Int) -> Int { index == count ? run.upperBound : run.lowerBound + run.count * index / count & ~15 }
    return cut(index)..<cut(index + 1)
  }

  /// Where the gradients of a worker's shards are put together in a segment, addressed from where the flat array would start.
  func slots(segment number: Int, _ worker: Worker) -> UnsafePointer<UnsafeMutablePointer<Float>> {
    shares.with(worker.index) { UnsafePointer($0.parts[number].slots.baseAddress!) }
  }

  // MARK: - The update

  /// Sums a segment's gradients over all shards and updates its parameters; called by every worker, when all of this
  /// rank have announced them and met.
  func update(
    segment number: Int, _ optimizer: SGD, learningRate: Float, batches: Int, _ worker: Worker
  ) throws {
    if communicator.size > 1 {
      try joinWorkers(segment: number, worker)
      if worker.index == 0 { try exchange(segment: number, worker) }
      try worker.meet()
    }
    apply(segment: number, optimizer, learningRate: learningRate, batches: batches, worker)
  }

  /// A worker's own part of the update: adds up its slice of the gradients, and takes the optimizer's step with it.
  func apply(segment number: Int, _ optimizer: SGD, learningRate: Float, batches: Int, _ worker: Worker) {
    let (part, parameters) = shares.with(worker.index) { ($0.parts[number], $0.parameters!) }
    for parameter in part.parameters {
      part.total.addUp(parameter.range) { _, offset, sums in
        optimizer.update(
          parameters + offset, into: (part.updated ?? parameters) + offset, sums, part.velocities + offset,
          parameter.role, learningRate: learningRate, batches: batches, isShared: isShared)
        for array in part.total.untouched { (array + offset).update(from: sums.baseAddress!, count: sums.count) }
        if let updated = part.updated {
          for copy in part.copies { (copy + offset).update(from: updated + offset, count: sums.count) }
        }
      }
    }
    if isShared { SGDUpdate.finish() }
  }

  /// Completes the parameters on every machine; called by every worker when all segments are updated, at the end of a step,
  /// where the workers of a rank meet anyway.
  func gatherParameters(_ worker: Worker) throws {
    guard communicator.size > 1 else { return }
    try worker.meet()
    if worker.index == 0 {
      try communicator.machineBarrier()
      if spansMachines {
        for segment in segments where !segment.range.isEmpty {
          try communicator.gatherSlices(shares[0].parameters, slices: segment.slices)
        }
        try communicator.machineBarrier()
      }
    }
  }

  /// Adds the nodes of this rank's workers up to the rank's, in the first of the arrays, each worker a part of them.
  private func joinWorkers(segment number: Int, _ worker: Worker) throws {
    guard worker.grid.threads > 1 else { return }
    let part = shares.with(worker.index) { $0.parts[number] }
    // A root is in an array of one of its nodes, and no root's first node is before the root's own number.
    let mine = Self.slice(worker.index, of: worker.grid.threads, segments[number].range)
    part.rankSum.addUp(mine) { root, offset, sums in
      (part.rankNodes[root] + offset).update(from: sums.baseAddress!, count: sums.count)
    }
    worker.announce()
    try worker.meet()
  }

  /// Makes the roots of all ranks readable: those of this machine have been left by the backward pass.
  private func exchange(segment number: Int, _ worker: Worker) throws {
    if worker.hasNewsForMachine { try communicator.machineBarrier() }
    guard spansMachines else { return }
    try communicator.exchangeSlices(
      of: shares[0].parts[number].rankNodes.prefix(rankSum.results.count).map { UnsafePointer($0) }, ranks,
      slices: segments[number].slices, received: received.start)
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
