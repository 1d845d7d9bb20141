import Collectives
import Layers
import Support
import Tensors
import Testing
import Training

/// How often workers and ranks meet in a step, and what they find then.
@Suite struct StepMeetingsTests {
  /// Counts how often a rank meets the others.
  private final class CountedCommunicator: Communicator, @unchecked Sendable {
    private let base: any Communicator
    private(set) var messages = 0
    private(set) var barriers = 0

    init(_ base: any Communicator) { self.base = base }

    func startAgain() { (messages, barriers) = (0, 0) }

    var rank: Int { base.rank }
    var size: Int { base.size }
    var localSize: Int { base.localSize }
    var machines: [[Int]] { base.machines }
    func barrier() throws { try base.barrier() }
    func sleepingBarrier() throws { try base.sleepingBarrier() }
    func share(bytes: Int) throws -> SharedMemory { try base.share(bytes: bytes) }
    func first(_ count: Int) throws -> (any Communicator)? { try base.first(count) }
    func abort() -> Never { base.abort() }

    func machineBarrier() throws {
      barriers += 1
      try base.machineBarrier()
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws {
      messages += 1
      try base.broadcast(bytes, root: root)
    }

    func allGather(_ bytes: UnsafeMutableRawBufferPointer, counts: [Int]) throws {
      messages += 1
      try base.allGather(bytes, counts: counts)
    }

    func allToAll(
      send: UnsafeRawPointer?, parts sendParts: [Range<Int>], receive: UnsafeMutableRawPointer?,
      parts receiveParts: [Range<Int>]
    ) throws {
      messages += 1
      try base.allToAll(send: send, parts: sendParts, receive: receive, parts: receiveParts)
    }
  }

  private static let input = SampleShape.features(20)

  private static func network(_ statistics: Statistics) throws -> Network {
    let model = Sequential {
      Linear(16)
      BatchNorm(statistics: statistics)
      ReLU()
      Linear(16)
      BatchNorm(statistics: statistics)
      ReLU()
      Linear(3)
    }
    return try Network(model, input: input, classCount: 3)
  }

  private static func engine(_ network: Network, _ communicator: any Communicator, threads: Int) throws -> Engine {
    try Engine(
      network, communicator: communicator, threads: threads, batchSizes: [12], shards: 4, optimizer: SGD(momentum: 0.9),
      seed: 1, patience: .oversubscribed)
  }

  private static func batch(_ engine: Engine) -> Batch {
    var x: [Float] = []
    var labels: [Int32] = []
    for sample in engine.samples(globalCount: 12) {
      var random = KeyedRandom(seed: 5, .data, sample)
      labels.append(Int32(random.integer(below: 3)))
      for _ in 0..<input.count { x.append(random.normal()) }
    }
    return Batch(x, labels, input, globalCount: 12)
  }

  /// One message per batch norm each way, the last one back with the loss in it. A rank of one thread that has met the others
  /// so does not meet them again before its gradients are read: it does where there was no message, and after the update.
  @Test(arguments: [(1, 2), (2, 4)]) func ranksMeetOncePerSegment(threads: Int, barriers: Int) throws {
    let counts = try asRanks(2) { base in
      let communicator = CountedCommunicator(base)
      let engine = try Self.engine(Self.network(.sync), communicator, threads: threads)
      let batch = Self.batch(engine)
      _ = try engine.train(batch, learningRate: 0.1)
      communicator.startAgain()
      _ = try engine.train(batch, learningRate: 0.1)
      return [communicator.messages, communicator.barriers]
    }
    #expect(counts == [[4, barriers], [4, barriers]])
  }

  /// With frozen statistics nothing is summed but the loss.
  @Test func frozenStatisticsMeetNobody() throws {
    let network = try Self.network(.frozen)
    let plan = try Plan(
      network,
      partitions: [
        BatchPartition(
          globalCount: 12, shards: 4, grid: WorkerGrid(ranks: 1, threads: 2), statistics: network.statistics)
      ], rank: 0)
    #expect(plan.segments.map(\.forwardMeetings.count) == [0])
    #expect(plan.segments.map(\.backwardMeetings.count) == [1])
    #expect(plan.lossMeeting.count == 1)
  }

  /// A worker meets the others once for all that it has announced.
  @Test func aWorkerMeetsOnceForItsNews() throws {
    let parameters = AlignedBuffer<Float>(count: 1)
    let barrier = Barrier(count: 1, patience: .dedicated)
    let worker = Worker(
      index: 0, grid: WorkerGrid(ranks: 1, threads: 1), communicator: ThreadCommunicator.alone, barrier: barrier,
      seed: 0, places: [], parameters: UnsafePointer(parameters.start), backwardWeights: parameters.start)
    worker.announce()
    worker.announce()
    try worker.meetIfNeeded()
    #expect(worker.hasNewsForMachine)
    // From now on every meeting throws.
    barrier.poison()
    try worker.meetIfNeeded()
    worker.announce()
    #expect(throws: PoisonedBarrier.self) { try worker.meetIfNeeded() }
  }

  /// The loss that comes with the gradient is the loss of a trial, and neither a trial nor an evaluation leaves a trace.
  @Test(arguments: [Statistics.sync, .local, .ghost(3), .frozen])
  func trialsAndEvaluations(_ statistics: Statistics) throws {
    let (losses, trials, undisturbed) = try within {
      let engines = try (0..<2).map { _ in
        try Self.engine(Self.network(statistics), ThreadCommunicator.alone, threads: 2)
      }
      let batch = Self.batch(engines[0])
      var (losses, trials, undisturbed): ([Double], [Double], [Double]) = ([], [], [])
      for _ in 0..<3 {
        trials.append(try engines[0].evaluate(batch, .trial).loss)
        _ = try engines[0].evaluate(batch)
        losses.append(try engines[0].train(batch, learningRate: 0.1).loss)
        undisturbed.append(try engines[1].train(batch, learningRate: 0.1).loss)
      }
      return (losses, trials, undisturbed)
    }
    #expect(losses == trials && losses == undisturbed && Set(losses).count == 3)
  }
}
