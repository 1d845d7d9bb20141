import Collectives
import Datasets
import Kernels
import Layers
import Tensors

/// Trains one model on one rank's share of every batch; all ranks together train one model.
///
/// Sendable: its methods are called by one thread at a time; inside a step, workers touch what is theirs.
package final class Engine: @unchecked Sendable {
  package let plan: Plan
  package let communicator: any Communicator
  package let grid: WorkerGrid
  package let shards: Int
  /// Optimizer steps taken.
  package var step = 0
  /// Told of each part of a step, if set.
  package var observer: (any StepObserver)?
  /// Batches that the running statistics have seen.
  package var batchesTracked = 0
  package let parameters: ParameterMemory
  package let precision: Precision

  let team: WorkerTeam
  let workers: [Worker]
  /// Each worker's slices, for whoever computes them.
  let queues: SharedArray<StealingQueue>
  let exchange: GradientExchange
  let optimizer: SGD
  /// In bf16, the parameters as operations see them.
  let rounding: WeightRounding?
  private let memories: [WorkerMemory]
  private let backwardWeights: BackwardWeights
  /// By the global batch's size, the way of each worker.
  private var routes: [Int: [Route]] = [:]

  /// - Parameters:
  ///   - batchSizes: the global batch sizes of training, the usual one first.
  ///   - patience: how long waiting threads spin.
  ///   - precision: what activations and weights are rounded to.
  ///   - kernels: the kernels and slices to take instead of the usual ones.
  ///   - onlyEvaluates: takes batches too small to train with.
  /// - Throws: `LockstepError` if the network cannot be trained with batches of these sizes.
  package init(
    _ network: Network, communicator: any Communicator, threads: Int, batchSizes: [Int], shards: Int, optimizer: SGD,
    seed: UInt64, patience: Barrier.Patience, precision: Precision = .float32, kernels: KernelPlan? = nil,
    onlyEvaluates: Bool = false
  ) throws {
    let grid = WorkerGrid(ranks: communicator.size, threads: threads)
    let partitions = batchSizes.map {
      BatchPartition(globalCount: $0, shards: shards, grid: grid, statistics: network.statistics)
    }
    if !onlyEvaluates { try Plan.checkCounts(network, partitions) }
    // First, because oneDNN generates kernels for the number of OpenMP threads in force, which the team sets to one.
    let team = WorkerTeam(size: threads, patience: patience)
    let plan = try Plan(
      network, partitions: partitions, rank: communicator.rank, precision: precision, kernels: kernels)
    let parameters = ParameterMemory(count: plan.parameterCount, threads: threads, communicator)
    let exchange = GradientExchange(partitions[0], plan, parameters, communicator)
    let samples = CompileTarget(partitions: partitions, rank: communicator.rank, sliceSize: 1).samplesPerWorker
    let memories = (0..<threads).map { _ in WorkerMemory(plan, samples: samples) }
    let rounding = precision == .bfloat16 ? WeightRounding(plan) : nil
    let backwardWeights = BackwardWeights(plan, copies: parameters.isReplicated ? threads : 1)
    let arenas = memories.map(\.arena)
    workers = (0..<threads).map { index in
      let memory = memories[index]
      let worker = Worker(
        index: index, grid: grid, communicator: communicator, barrier: team.barrier, seed: seed,
        places: plan.memory.places(memory.arena, of: arenas),
        parameters: UnsafePointer(rounding?.parameters.start ?? parameters.start(ofWorker: index)),
        backwardWeights: backwardWeights.start(ofWorker: index))
      worker.labels = memory.labels.start
      worker.gradientScratch = memory.gradientScratch
      return worker
    }
    queues = SharedArray(workers.map { _ in StealingQueue() })
    self.communicator = communicator
    self.grid = grid
    self.shards = shards
    self.optimizer = optimizer
    self.precision = precision
    self.rounding = rounding
    (self.plan, self.team, self.exchange, self.memories, self.parameters) = (plan, team, exchange, memories, parameters)
    self.backwardWeights = backwardWeights
    for count in batchSizes { routes[count] = routes(count, network.statistics) }
    initializeParameters(seed: seed)
  }

  /// The samples of a global batch that this rank's workers compute.
  package func samples(globalCount: Int) -> Range<Int> {
    partition(globalCount: globalCount).samples(ofRank: communicator.rank)
  }

  /// How a global batch is divided.
  func partition(globalCount: Int) -> BatchPartition { routes(globalCount)[0].partition }

  /// The number of samples that a worker computes.
  func samplesOf(_ worker: Worker, globalCount: Int) -> Int {
    let partition = partition(globalCount: globalCount)
    return partition.samples(ofShards: partition.shards(ofWorker: worker.number)).count
  }

  /// The most samples of a shard.
  func largestShard(globalCount: Int) -> Int { partition(globalCount: globalCount).largestShard }

  private func routes(_ globalCount: Int) -> [Route] {
    if let routes = routes[globalCount] { return routes }
    // Only evaluation meets other sizes than training's; it takes no statistics.
    let routes = routes(globalCount, [])
    self.routes[globalCount] = routes
    return routes
  }

  /// Each worker's with a partition of its own: workers that counted references to the same one at the same time would wait
  /// for each other.
  private func routes(_ globalCount: Int, _ statistics: Set<Statistics>) -> [Route] {
    let routes = workers.map { worker in
      Route(
        worker, BatchPartition(globalCount: globalCount, shards: shards, grid: grid, statistics: statistics),
        sum: exchange.shardSums[worker.index], sliceSizes: plan.segments.map(\.sliceSize))
    }
    Route.introduce(routes)
    return routes
  }

  /// Hands a batch, and the parameters as they are now, to the workers, and has each of them do something with it.
  func run(_ batch: Batch, _ mode: Mode, _ body: @escaping @Sendable (Worker) throws -> Void) throws {
    try parameters.publish()
    try exchange.begin()
    let routes = routes(batch.globalCount)
    try team.run { [self] index in
      let worker = workers[index]
      load(batch, mode, routes[index], worker)
      try prepare(worker)
      try body(worker)
    }
  }

  private func load(_ batch: Batch, _ mode: Mode, _ route: Route, _ worker: Worker) {
    (worker.route, worker.mode, worker.step) = (route, mode, step)
    let parameters = exchange.begin(worker)
    worker.parameters = UnsafePointer(rounding?.parameters.start ?? parameters)
    batch.samples.read(
      route.samples, pixels: worker.places[worker.index].input.address(0), labels: worker.labels)
    observer?.finished(.reading, worker: worker.index)
  }

  /// Tells a worker where the gradients of a segment's shards are put together.
  func placeGradients(of segment: Plan.Segment, _ worker: Worker) {
    worker.shardPlaces = worker.route.segments[segment.number].shards
    worker.gradientSlots = exchange.slots(segment: segment.number, worker)
  }
}
