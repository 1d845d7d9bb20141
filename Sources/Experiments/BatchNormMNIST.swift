import Collectives
import Datasets
import Layers
import Tensors
import Training

/// Batch norm on a small network of sigmoids: the test accuracy and a sigmoid's input in the course of training, with and
/// without it.
///
/// Three hidden layers of 100 sigmoids, their weights small Gaussian numbers, on black and white digits, 60 to a batch.
/// Source: Ioffe, Szegedy 2015, arXiv:1502.03167, section 4.1 and figure 1. The paper does not give the learning rate, the
/// deviation of the weights and how digits become black and white.
public struct BatchNormMNIST: Sendable {
  public var steps = 50_000
  /// Steps between two measurements.
  public var interval = 500
  public var globalBatchSize = 60
  public var learningRate: Float = 0.1
  /// Of the weights at the start.
  public var deviation: Float = 0.1
  public var seed: UInt64 = 0
  /// Computing threads of this rank.
  public var threads = 1

  public init() {}

  static let hiddenLayers = 3
  static let width = 100
  /// Test samples of which the sigmoid's inputs are looked at.
  static let observedSamples = 1200

  /// What was measured.
  public struct Results: Codable, Sendable {
    public var networks: [Network] = []

    public init() {}
  }

  /// One network's course.
  public struct Network: Codable, Sendable {
    public let hasBatchNorm: Bool
    public fileprivate(set) var points: [Point] = []

    var name: String { hasBatchNorm ? "with batch norm" : "without" }
  }

  public struct Point: Codable, Sendable {
    let step: Int
    let accuracy: Double
    /// The 15th, 50th and 85th percentile of the inputs of the last hidden layer's first sigmoid, over test samples.
    let percentiles: [Double]
  }

  /// Trains one of the two networks.
  ///
  /// - Parameters:
  ///   - data: digits, black and white.
  ///   - progress: called with the share of the steps done.
  public func measure(
    hasBatchNorm: Bool, _ data: Dataset, _ communicator: any Communicator, progress: (Double) -> Void
  ) throws -> Network {
    guard let test = data.test else {
      throw LockstepError("the data set \(data.name) has no test samples to measure accuracy on")
    }
    var options = TrainingOptions()
    options.globalBatchSize = globalBatchSize
    options.threads = threads
    options.length = .steps(steps)
    options.learningRate = learningRate
    options.optimizer = SGD(momentum: 0)
    options.seed = seed
    let trainer = try communicator.agree { [options] in
      try Trainer(
        model(hasBatchNorm, classCount: data.classCount), data: data, options: options, communicator: communicator)
    }
    let observed = Array(0..<min(Self.observedSamples, test.count))
    var network = Network(hasBatchNorm: hasBatchNorm)
    func measure(_ step: Int, _ evaluation: BatchResult) throws {
      let inputs = try stride(from: 0, to: observed.count, by: globalBatchSize).flatMap { start in
        let batch = trainer.batch(of: Array(observed[start..<min(start + globalBatchSize, observed.count)]), in: test)
        return try trainer.engine.inputs(of: Self.observedLayer, channel: 0, batch)
      }.sorted()
      network.points.append(
        Point(
          step: step, accuracy: Double(evaluation.correct) / Double(evaluation.count),
          percentiles: [0.15, 0.5, 0.85].map { Double(inputs[Int($0 * Double(inputs.count - 1))]) }))
    }
    if let evaluation = try trainer.evaluate() { try measure(0, evaluation) }
    try trainer.train { event in
      guard case .step(let report) = event else { return }
      progress(Double(report.step) / Double(steps))
      if report.step % interval == 0 || report.step == steps, let evaluation = try trainer.evaluate() {
        try measure(report.step, evaluation)
      }
    }
    return network
  }

  private static let observedLayer = "activated\(hiddenLayers)"

  private func model(_ hasBatchNorm: Bool, classCount: Int) -> Sequential {
    let small = Initializer.normal(deviation: deviation)
    return Sequential {
      Flatten()
      for number in 1...Self.hiddenLayers {
        Linear(Self.width, weight: small).named("linear\(number)")
        if hasBatchNorm { BatchNorm().named("norm\(number)") }
        Identity().named("activated\(number)")
        Sigmoid().named("sigmoid\(number)")
      }
      Linear(classCount, weight: small).named("classifier")
    }
  }
}
