import Collectives
import Datasets
import Layers
import Models
import Tensors
import Training

/// What batch norm does to the loss of a network: VGG with it, without it, and with noise behind it; a deep linear network
/// with it and without.
///
/// Source: Santurkar, Tsipras, Ilyas, Madry 2018, arXiv:1805.11604. The paper trains a VGG network on CIFAR-10 by plain
/// stochastic gradient descent, 15,000 steps of 128 samples at learning rate 0.1 without augmentation, and a linear network
/// of 25 layers on synthetic data by gradient descent, 10,000 steps at learning rate 1e-6.
public struct Smoothness: Sendable {
  public var model = "vgg11"
  public var steps = 15_000
  /// Steps between two measurements.
  public var interval = 150
  public var globalBatchSize = 128
  public var learningRate: Float = 0.1
  /// Points along the gradient.
  public var points = 8
  /// Of the layers with weights, counted from 1, those whose covariate shift is measured.
  public var layers = [2, 5, 8]
  public var linearSteps = 10_000
  public var linearInterval = 100
  public var linearLearningRate = 1e-6
  public var seed: UInt64 = 0
  /// Computing threads of this rank.
  public var threads = 1

  public init() {}

  static let linearLayers = 25
  static let linearWidth = 10
  static let linearSamples = 1000
  /// Counted from 1.
  static let measuredLinearLayers = [9, 17]

  /// The networks, in the order of measurement.
  public enum Kind: String, Codable, CaseIterable, Sendable {
    case batchNorm = "batch norm"
    case plain = "without"
    case noisy = "noisy batch norm"
    case linearBatchNorm = "linear, batch norm"
    case linearPlain = "linear, without"

    var isLinear: Bool { self == .linearBatchNorm || self == .linearPlain }
  }

  /// What was measured.
  public struct Results: Codable, Sendable {
    public var networks: [Network] = []

    public init() {}
  }

  /// One network's course.
  public struct Network: Codable, Sendable {
    public let kind: Kind
    fileprivate(set) var course: [Point] = []
    fileprivate(set) var landscapes: [LossLandscape] = []
    fileprivate(set) var shifts: [CovariateShift] = []
    /// On test samples, at the end.
    fileprivate(set) var testAccuracy: Double?
    /// Why training ended early, if it did.
    fileprivate(set) var failure: String?
  }

  /// The mean over the steps since the point before.
  public struct Point: Codable, Sendable {
    let step: Int
    let loss: Double
    /// Of the training samples; nil where there are no classes.
    let accuracy: Double?
  }

  /// Trains and measures one network.
  ///
  /// - Parameter progress: called with the share of the steps done.
  public func measure(
    _ kind: Kind, _ data: Dataset, _ communicator: any Communicator, progress: (Double) -> Void
  ) throws -> Network {
    if kind.isLinear { return linear(kind, progress) }
    let trainer = try trainer(kind, data, communicator)
    var network = Network(kind: kind)
    var (lossSum, correct, count) = (0.0, 0, 0)
    func measure() throws {
      var random = KeyedRandom(seed: seed, .data, trainer.engine.step)
      let indices = (0..<globalBatchSize).map { _ in random.integer(below: data.train.count) }
      let batch = trainer.batch(of: indices, in: data.train)
      network.landscapes.append(
        try LossLandscape(trainer.engine, batch, learningRate: Double(learningRate), points: points))
      network.shifts += try CovariateShift.measure(
        trainer.engine, batch, learningRate: Double(learningRate), layers: layers)
    }
    do {
      try measure()
      try trainer.train { event in
        switch event {
        case .step(let step):
          lossSum += step.result.lossSum
          correct += step.result.correct
          count += step.result.count
          progress(Double(step.step) / Double(steps))
          guard step.step % interval == 0 else { return }
          network.course.append(
            Point(step: step.step, loss: lossSum / Double(count), accuracy: Double(correct) / Double(count)))
          (lossSum, correct, count) = (0, 0, 0)
          try measure()
        case .epoch(let epoch):
          network.testAccuracy = epoch.test.map { Double($0.correct) / Double($0.count) }
        }
      }
    } catch let error as SharedError {
      network.failure = error.description
    }
    return network
  }

  /// How long a network takes, beside others.
  public func work(_ kind: Kind) -> Double {
    // A step of the small linear network, and one of the large one with its part of the measurements.
    kind.isLinear
      ? 0.02 * Double(linearSteps) : Double(steps) * (1 + Double(points + layers.count + 2) / Double(interval))
  }

  /// Makes a trainer, or finds out on every rank why there can be none.
  public func trainer(_ kind: Kind, _ data: Dataset, _ communicator: any Communicator) throws -> Trainer {
    var options = TrainingOptions()
    options.globalBatchSize = globalBatchSize
    options.threads = threads
    options.length = .steps(steps)
    options.learningRate = learningRate
    options.optimizer = SGD(momentum: 0)
    options.seed = seed
    let normalization: ModelOptions.Normalization =
      switch kind {
      case .batchNorm: .batch(.sync)
      case .noisy: .noisyBatch
      default: .none
      }
    return try communicator.agree { [options] in
      let modelOptions = ModelOptions(input: data.shape, classCount: data.classCount, normalization: normalization)
      let trainer = try Trainer(
        ModelZoo.model(model, modelOptions), data: data, options: options, communicator: communicator)
      let count = CovariateShift.layerCount(trainer.engine)
      guard layers.contains(where: { $0 <= count }) else {
        throw LockstepError("\(model) has \(count) layers with weights, none of which --layers names")
      }
      return trainer
    }
  }

  /// Every rank computes the same, which is little.
  private func linear(_ kind: Kind, _ progress: (Double) -> Void) -> Network {
    var linear = DeepLinearNetwork(
      layers: Self.linearLayers, width: Self.linearWidth, samples: Self.linearSamples,
      hasBatchNorm: kind == .linearBatchNorm, seed: seed)
    var network = Network(kind: kind)
    for step in 0...linearSteps {
      let gradient = linear.gradient()
      guard gradient.loss.isFinite else {
        network.failure = "the loss is not finite after step \(step)"
        break
      }
      if step % linearInterval == 0 {
        network.course.append(Point(step: step, loss: gradient.loss / Double(Self.linearSamples), accuracy: nil))
        network.shifts += Self.measuredLinearLayers.compactMap { layer in
          let below = linear.stepped(gradient, learningRate: linearLearningRate, layers: layer - 1)
          return CovariateShift(
            step: step, layer: layer, before: gradient.weights[layer - 1], after: below.gradient().weights[layer - 1])
        }
      }
      linear = linear.stepped(gradient, learningRate: linearLearningRate, layers: Self.linearLayers)
      progress(Double(step) / Double(linearSteps))
    }
    return network
  }
}
