import Collectives
import Datasets
import Layers
import Tensors

/// Measures sync's cost on one layout. Every rank of the layout makes one and calls the same methods.
public final class SyncCostBenchmark {
  public private(set) var result: SyncCost
  private let communicator: MeteredCommunicator
  private let trainers: [(side: WritableKeyPath<SyncCost, SyncCost.Side>, trainer: Trainer)]
  private let clock = ContinuousClock()

  /// Steps of a round. Of these the median counts.
  private static let stepsPerRound = 3
  private static let warmUpSteps = 2

  /// - Parameters:
  ///   - model: makes the network for a kind of statistics.
  ///   - result: the layout and the batch to measure, without measurements.
  /// - Throws: `LockstepError` if the layout cannot train this batch.
  public init(
    _ result: SyncCost, data: Dataset, communicator: any Communicator, model: (Statistics) throws -> any Layer
  ) throws {
    self.result = result
    let metered = MeteredCommunicator(communicator)
    self.communicator = metered
    var options = TrainingOptions()
    options.globalBatchSize = result.globalBatchSize
    options.shards = result.shards
    options.threads = result.layout.threads
    trainers = try [(\.sync, .sync), (\.local, .local)].map { side, statistics in
      (side, try Trainer(model(statistics), data: data, options: options, communicator: metered))
    }
  }

  /// Trains some steps with each kind of statistics, and notes the models that come out.
  ///
  /// - Throws: `SharedError` if a loss is not finite, or if one worker alone gets other bits from `local` than from `sync`.
  public func warmUp() throws {
    for (side, trainer) in trainers {
      let batch = trainer.batch(ofStep: 0)
      for _ in 0..<Self.warmUpSteps { _ = try trainer.engine.train(batch, learningRate: 0.1) }
      let model = trainer.model
      result[keyPath: side].fingerprint = Fingerprint.of(model.names.map { model[$0]!.data })
    }
    if result.layout.workers == 1, result.sync.fingerprint != result.local.fingerprint {
      throw SharedError("one worker's local statistics are the global ones, but gave another model than sync's")
    }
  }

  /// Measures steps with sync, then with local statistics.
  public func round() throws {
    for (side, trainer) in trainers {
      let batch = trainer.batch(ofStep: 0)
      try communicator.barrier()
      let seconds = try (0..<Self.stepsPerRound).map { _ in
        let start = clock.now
        _ = try trainer.engine.train(batch, learningRate: 0)
        return (clock.now - start) / .seconds(1)
      }
      result[keyPath: side].rounds.append(seconds.median!)
    }
  }

  /// Breaks further steps down, and scales their parts to what the undisturbed ones took.
  public func breakDown() throws {
    communicator.isMetering = true
    defer { communicator.isMetering = false }
    for (side, trainer) in trainers {
      let observer = BreakdownObserver(communicator, workers: result.layout.threads)
      let batch = trainer.batch(ofStep: 0)
      trainer.engine.observer = observer
      defer { trainer.engine.observer = nil }
      for _ in 0..<Self.stepsPerRound {
        observer.begin()
        _ = try trainer.engine.train(batch, learningRate: 0)
      }
      communicator.isMetering = false
      var breakdown = try observer.breakdown.mean(communicator)
      communicator.isMetering = true
      let scale = result[keyPath: side].seconds / breakdown.seconds
      for part in [\StepBreakdown.compute, \.waiting, \.allReduce, \.exchange] { breakdown[keyPath: part] *= scale }
      result[keyPath: side].breakdown = breakdown
    }
  }
}
