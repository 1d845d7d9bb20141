import Collectives
import Layers
import Tensors

/// The update: gradients are reduce-scattered, each worker updates its slice of the parameters with its slice of the
/// optimizer's state, and the parameters are all-gathered.
///
/// Everything is summed in the order of the shard tree. A worker has already added its shards up to the fewest nodes;
/// here the nodes of a rank's workers are joined, the roots of all ranks travel, and each slice's owner adds them up.
///
/// Sendable: workers write disjoint slices and meet at the barrier before they read each other's.
final class GradientExchange: @unchecked Sendable {
  private let count: Int
  private let layout: [UpdatedRange]
  /// How a worker's shards add up to its nodes, by worker of this rank.
  let shardSums: [RunSum]
  /// How the nodes of this rank's workers add up to the rank's.
  private let rankSum: SumSchedule
  /// How the nodes of all ranks add up to the total.
  private let ranks: TreePartition
  /// Each rank's slice of the flat array.
  private let slices: [Range<Int>]
  private let rank: Int
  /// Gradient arrays, one per node of each worker of this rank.
  private let nodes: [[AlignedBuffer<Float>]]
  /// The other ranks' nodes of this rank's slice.
  private let received: AlignedBuffer<Float>
  /// The optimizer's state, of this rank's slice.
  private let velocities: AlignedBuffer<Float>

  init(_ partition: BatchPartition, _ plan: Plan, rank: Int) {
    let parameterCount = plan.parameterCount
    count = parameterCount
    layout = plan.parameters.map { UpdatedRange($0) }
    self.rank = rank
    ranks = partition.ranks
    let grid = partition.grid
    let tree = partition.tree
    shardSums = (0..<grid.threads).map { index in
      RunSum(tree, partition.shards(ofWorker: rank * grid.threads + index))
    }
    nodes = shardSums.map { $0.nodes.map { _ in AlignedBuffer(count: parameterCount) } }
    rankSum = SumSchedule(tree, shardSums.flatMap(\.nodes))
    slices = (0..<grid.ranks).map { Self.slice($0, of: grid.ranks, 0..<parameterCount) }
    received = AlignedBuffer(count: grid.ranks > 1 ? slices[rank].count * partition.ranks.rootCount : 0)
    velocities = AlignedBuffer(count: slices[rank].count)
  }

  /// Part `index` of `count` parts of a run, cut at cache lines.
  private static func slice(_ index: Int, of count: Int, _ run: Range<Int>) -> Range<Int> {
    func cut(_ index: Int) -> Int { index == count ? run.upperBound : run.lowerBound + run.count * index / count & ~15 }
    return cut(index)..<cut(index + 1)
  }

  /// The array of one of a worker's nodes.
  func node(_ slot: Int, worker: Int) -> UnsafeMutablePointer<Float> { nodes[worker][slot].start }

  /// Sums the gradients of all shards and updates the parameters; called by every worker, when all of this rank are done.
  func update(
    _ parameters: UnsafeMutablePointer<Float>, _ optimizer: SGD, learningRate: Float, batches: Int, _ worker: Worker
  ) throws {
    let threads = worker.grid.threads
    let (sources, schedule): ([UnsafePointer<Float>], SumSchedule)
    if worker.communicator.size == 1 {
      (sources, schedule) = (nodes.joined().map { UnsafePointer($0.start) }, rankSum)
    } else {
      try joinWorkers(worker)
      if worker.index == 0 {
        try worker.communicator.exchangeSlices(
          of: rankNodes.map { UnsafePointer($0) }, ranks, slices: slices, received: received.start)
      }
      try worker.barrier.wait()
      // Rows of what was received hold only this rank's slice; seen from the flat array's start they begin before it.
      let row = slices[rank].count
      sources = (0..<ranks.rootCount).map { UnsafePointer(received.start + $0 * row - slices[rank].lowerBound) }
      schedule = ranks.schedule
    }
    let mine = Self.slice(worker.index, of: threads, slices[rank])
    TreeSum.fold(schedule, sources, mine) { _, offset, gradients in
      optimizer.update(
        parameters, gradients, velocities.start + (offset - slices[rank].lowerBound), at: offset, layout,
        learningRate: learningRate, batches: batches)
    }
    try worker.barrier.wait()
    if worker.communicator.size > 1 {
      if worker.index == 0 { try allGather(parameters, worker.communicator) }
      try worker.barrier.wait()
    }
  }

  /// The arrays that hold the rank's nodes once its workers' are joined.
  private var rankNodes: [UnsafeMutablePointer<Float>] {
    nodes.joined().prefix(rankSum.results.count).map(\.start)
  }

  /// Adds the nodes of this rank's workers up to the rank's, each worker a slice of the whole array.
  private func joinWorkers(_ worker: Worker) throws {
    guard worker.grid.threads > 1 else { return }
    let sources = nodes.joined().map { UnsafePointer($0.start) }
    let targets = rankNodes
    // In place: every source of a chunk has been read when the chunk's sums are written.
    TreeSum.fold(rankSum, sources, Self.slice(worker.index, of: worker.grid.threads, 0..<count)) { root, offset, sums in
      (targets[root] + offset).update(from: sums.baseAddress!, count: sums.count)
    }
    try worker.barrier.wait()
  }

  /// Completes an array of which each rank has its slice.
  private func allGather(_ array: UnsafeMutablePointer<Float>, _ communicator: any Communicator) throws {
    try communicator.allGather(
      UnsafeMutableRawBufferPointer(start: array, count: count * MemoryLayout<Float>.size),
      counts: slices.map { $0.count * MemoryLayout<Float>.size })
  }

  // MARK: - The optimizer's state, between steps

  /// The velocities of all parameters, on every rank.
  func gatheredVelocities(_ communicator: any Communicator) throws -> AlignedBuffer<Float> {
    let all = AlignedBuffer<Float>(count: count)
    (all.start + slices[rank].lowerBound).update(from: velocities.start, count: slices[rank].count)
    try allGather(all.start, communicator)
    return all
  }

  /// Takes this rank's slice of the velocities of all parameters.
  func takeVelocities(_ all: UnsafePointer<Float>) {
    velocities.start.update(from: all + slices[rank].lowerBound, count: slices[rank].count)
  }
}
