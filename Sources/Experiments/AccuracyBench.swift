import Collectives
import Datasets
import Foundation
import Layers
import Models
import Tensors
import Training

/// The test accuracy that a network reaches, against the samples of one worker at a fixed global batch.
///
/// Workers that take batch norm's statistics over their own N samples (`local`) compute what `ghost:N` computes, whoever
/// does it, so that any number of them is simulated faithfully. Sync batch norm and group norm do not depend on it.
/// Source: Wu, He 2018, doi:10.1007/978-3-030-01261-8_1, figure 5 and table 2.
public struct AccuracyBench: Sendable {
  public var model = "resnet20"
  /// Everything else about training; `seed` is that of the first run.
  public var options = TrainingOptions()
  /// Samples of one worker, fewer than the global batch.
  public var samplesPerWorker = [64, 32, 16, 8, 4, 2]
  public var seeds = 3

  public init() {}

  /// What was measured.
  public struct Results: Codable, Sendable {
    public var runs: [Run] = []
    public var layouts: [Layout] = []

    public init() {}
  }

  /// One network's course.
  public struct Run: Codable, Sendable {
    public let normalization: Kind
    public let seed: UInt64
    /// By epoch.
    package fileprivate(set) var testAccuracy: [Double] = []
    package fileprivate(set) var trainingLoss: [Double] = []
    fileprivate(set) var seconds = 0.0

    /// That of the last epoch: the best one's would be chosen by test samples.
    public var finalAccuracy: Double { testAccuracy.last ?? 0 }
  }

  /// What normalizes.
  public enum Kind: Codable, Hashable, Sendable, CustomStringConvertible {
    case sync
    case local(samplesPerWorker: Int)
    case group

    public var description: String {
      switch self {
      case .sync: "sync"
      case .local(let samples): "local, \(samples) per worker"
      case .group: "group norm"
      }
    }

    public var normalization: ModelOptions.Normalization {
      switch self {
      case .sync: .batch(.sync)
      case .local(let samples): .batch(.ghost(samples))
      case .group: .group
      }
    }
  }

  /// The runs to make, a seed after the other, so that an unfinished bench has something of everything.
  public var plan: [(kind: Kind, seed: UInt64)] {
    (0..<seeds).flatMap { seed in
      ([.sync, .group] + samplesPerWorker.sorted().map { Kind.local(samplesPerWorker: $0) })
        .map { ($0, options.seed &+ UInt64(seed)) }
    }
  }

  /// Trains one network.
  ///
  /// - Parameter progress: called with the share of the steps done.
  public func run(
    _ kind: Kind, seed: UInt64, _ data: Dataset, _ communicator: any Communicator, progress: (Double) -> Void
  ) throws -> Run {
    var options = options
    options.seed = seed
    let trainer = try trainer(kind.normalization, data, options, communicator)
    let clock = ContinuousClock()
    let start = clock.now
    var run = Run(normalization: kind, seed: seed)
    var (lossSum, samples) = (0.0, 0)
    try trainer.train { event in
      switch event {
      case .step(let step):
        lossSum += step.result.lossSum
        samples += step.result.count
        progress(Double(step.step) / Double(trainer.totalSteps))
      case .epoch(let epoch):
        run.trainingLoss.append(lossSum / Double(samples))
        (lossSum, samples) = (0, 0)
        if let test = epoch.test { run.testAccuracy.append(Double(test.correct) / Double(test.count)) }
      }
    }
    run.seconds = (clock.now - start) / .seconds(1)
    return run
  }

  /// Makes a trainer, or finds out on every rank why there can be none.
  public func trainer(
    _ normalization: ModelOptions.Normalization, _ data: Dataset, _ options: TrainingOptions,
    _ communicator: any Communicator
  ) throws -> Trainer {
    try communicator.agree {
      let modelOptions = ModelOptions(input: data.shape, classCount: data.classCount, normalization: normalization)
      return try Trainer(
        ModelZoo.model(model, modelOptions), data: data, options: options, communicator: communicator)
    }
  }
}

extension Dataset {
  /// The first samples of each split.
  public func prefix(train: Int?, test: Int?) -> Dataset {
    func prefix(_ split: LabeledSamples, _ count: Int?) -> LabeledSamples {
      count.map { split.prefix($0) } ?? split
    }
    return Dataset(
      name: name, classCount: classCount, train: prefix(self.train, train), test: self.test.map { prefix($0, test) },
      augmentation: augmentation)
  }
}
