import Collectives
import CPlatform
import Dispatch
import Datasets
import Layers
import Tensors

/// Trains a model on a data set: this rank's part of a job, or all of it.
///
///     let data = try Dataset.load("glyphs", path: nil, shape: nil, classCount: nil, seed: 0)
///     let trainer = try Trainer(Sequential { ... }, data: data, options: TrainingOptions())
///     try trainer.train { event in print(event) }
///     try trainer.model.write(to: "model.safetensors")
///
/// Every rank makes one with the same arguments and calls the same methods in the same order.
public final class Trainer {
  public let options: TrainingOptions
  public let data: Dataset
  package let engine: Engine
  private let trainSource: BatchSource
  private let testSource: BatchSource?

  /// - Parameter onlyEvaluates: takes batches too small to train with, and those larger than the data set.
  /// - Throws: `LockstepError` if the options make no sense or the model does not fit the data.
  public init(
    _ model: any Layer, data: Dataset, options: TrainingOptions,
    communicator: any Communicator = ThreadCommunicator.alone, onlyEvaluates: Bool = false
  ) throws {
    self.options = options
    self.data = data
    try options.check(samples: data.train.count, ranks: communicator.size, onlyEvaluates: onlyEvaluates)
    let batch = options.globalBatchSize
    let rest = data.train.count % batch
    engine = try Engine(
      Network(model, input: data.shape, classCount: data.classCount, labelSmoothing: options.labelSmoothing),
      communicator: communicator, threads: options.threads, batchSizes: [batch] + (rest == 0 ? [] : [rest]),
      shards: options.effectiveShards, optimizer: options.optimizer, seed: options.seed,
      patience: Barrier.Patience(ranks: communicator.localSize, threads: options.threads),
      precision: options.precision, kernels: options.kernels, onlyEvaluates: onlyEvaluates)
    trainSource = BatchSource(
      data.train, order: SampleOrder(count: data.train.count, seed: options.seed, shuffle: options.shuffles),
      augmentation: options.augments ? data.augmentation : nil, seed: options.seed)
    testSource = data.test.map {
      BatchSource($0, order: SampleOrder(count: $0.count, seed: 0, shuffle: false), augmentation: nil, seed: 0)
    }
  }

  /// The model as it stands, with PyTorch's names.
  public var model: Safetensors { engine.model }

  /// The bytes of its parameters.
  public var modelBytes: Int {
    engine.plan.network.parameters.reduce(0) { $0 + $1.count } * MemoryLayout<Float>.size
  }

  /// Takes the parameters of a model file.
  ///
  /// - Parameter source: the file's name, for errors.
  public func initialize(from file: Safetensors, source: String) throws { try engine.take(file, from: source) }

  /// Optimizer steps of one pass over the data.
  public var stepsPerEpoch: Int { (data.train.count + options.globalBatchSize - 1) / options.globalBatchSize }

  /// Optimizer steps of the whole training.
  public var totalSteps: Int {
    switch options.length {
    case .epochs(let count): count * stepsPerEpoch
    case .steps(let count): count
    }
  }

  /// Trains to the end, and evaluates after every epoch and at the end.
  ///
  /// - Parameter report: called on every rank, after every step and every epoch.
  /// - Throws: `SharedError` if the loss is not finite, and what `report` throws.
  public func train(_ report: (TrainingEvent) throws -> Void) throws {
    let clock = ContinuousClock()
    while engine.step < totalSteps {
      let step = engine.step
      let start = clock.now
      let learningRate =
        options.effectiveLearningRate
        * options.schedule.factor(step: step, stepsPerEpoch: stepsPerEpoch, totalSteps: totalSteps)
      let result = try engine.train(batch(ofStep: step), learningRate: learningRate)
      try report(
        .step(
          StepReport(
            step: engine.step, epoch: step / stepsPerEpoch, result: result, learningRate: learningRate,
            seconds: (clock.now - start) / .seconds(1))))
      if engine.step % stepsPerEpoch == 0 || engine.step == totalSteps {
        try report(.epoch(EpochReport(step: engine.step, epoch: step / stepsPerEpoch, test: try evaluate())))
      }
    }
  }

  /// The batch of a step.
  func batch(ofStep step: Int) -> Batch {
    let start = step % stepsPerEpoch * options.globalBatchSize
    let positions = start..<min(start + options.globalBatchSize, data.train.count)
    return batch(trainSource, epoch: step / stepsPerEpoch, positions: positions)
  }

  /// Loss and accuracy on the test samples, with the running statistics; nil if there are none.
  ///
  /// - Parameter progress: called after each batch with the samples done so far.
  public func evaluate(progress: (Int) -> Void = { _ in }) throws -> BatchResult? {
    guard let testSource, let count = data.test?.count else { return nil }
    var total = BatchResult(lossSum: 0, correct: 0, count: 0)
    for start in stride(from: 0, to: count, by: options.globalBatchSize) {
      let positions = start..<min(start + options.globalBatchSize, count)
      let result = try engine.evaluate(batch(testSource, epoch: 0, positions: positions))
      total = BatchResult(
        lossSum: total.lossSum + result.lossSum, correct: total.correct + result.correct,
        count: total.count + result.count)
      progress(total.count)
    }
    return total
  }

  /// The global batch at some positions of an epoch's order.
  private func batch(_ source: BatchSource, epoch: Int, positions: Range<Int>) -> Batch {
    let mine = engine.samples(globalCount: positions.count)
    return Batch(
      source.samples(epoch: epoch, positions: positions.dropFirst(mine.lowerBound).prefix(mine.count)),
      globalCount: positions.count)
  }
}

/// What training reports.
public enum TrainingEvent: Sendable {
  case step(StepReport)
  case epoch(EpochReport)
}

/// One optimizer step.
public struct StepReport: Sendable {
  /// Steps taken so far, with this one.
  public let step: Int
  /// Counts from 0.
  public let epoch: Int
  public let result: BatchResult
  public let learningRate: Float
  public let seconds: Double

  public var samplesPerSecond: Double { Double(result.count) / seconds }
}

/// The end of an epoch, or of training.
public struct EpochReport: Sendable {
  /// Steps taken so far.
  public let step: Int
  /// Counts from 0.
  public let epoch: Int
  /// On the test samples, if there are any.
  public let test: BatchResult?
}
