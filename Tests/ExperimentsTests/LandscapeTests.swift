import Collectives
import Datasets
import Experiments
import Layers
import Support
import Tensors
import Testing
import Training

/// Measurements in the course of training: what they find, and that they leave no trace.
@Suite struct LandscapeTests {
  private static let input = SampleShape(channels: 3, height: 7, width: 5)
  private static let batch = 12

  private static func trainer(
    _ communicator: any Communicator = ThreadCommunicator.alone, threads: Int = 1
  ) throws -> Trainer {
    let model = Sequential {
      Convolution(5, kernel: 3, padding: 1, bias: false)
      BatchNorm()
      Tanh()
      Convolution(4, kernel: 3, stride: 2)
      GroupNorm(2)
      ActivationNoise()
      Flatten()
      Linear(3)
    }
    let samples = LabeledSamples(
      floats: LayerRun.random(36 * input.count, number: 1), labels: (0..<36).map { Int32($0 % 3) }, shape: input)
    var options = TrainingOptions()
    options.globalBatchSize = batch
    options.shards = 5
    options.threads = threads
    options.length = .steps(5)
    options.learningRate = 0.05
    return try Trainer(
      model, data: Dataset(name: "noise", classCount: 3, train: samples, test: nil, augmentation: .none),
      options: options, communicator: communicator)
  }

  private static func measure<Result>(_ trainer: Trainer, _ body: (Engine, Batch) throws -> Result) throws -> Result {
    try body(trainer.engine, trainer.batch(of: Array(3..<3 + batch), in: trainer.data.train))
  }

  /// A run that is measured after every step ends in the same bits as one that is not, velocities and all.
  @Test func measurementsLeaveNoTrace() throws {
    let (plain, measured) = (try Self.trainer(), try Self.trainer())
    try plain.train { _ in }
    try measured.train { event in
      guard case .step = event else { return }
      try Self.measure(measured) { engine, batch in
        _ = try LossLandscape(engine, batch, learningRate: 0.1, points: 3)
        _ = try CovariateShift.measure(engine, batch, learningRate: 0.1, layers: [1, 2, 3])
      }
    }
    let isSame = plain.model == measured.model
    #expect(isSame)
  }

  /// The parameters move by the gradient times the learning rate.
  @Test func gradientIsWhatAStepTakes() throws {
    let trainer = try Self.trainer()
    try Self.measure(trainer) { engine, batch in
      let before = Array(engine.parameters.current)
      let (result, gradient) = try engine.gradient(batch)
      let isUnchanged = before == Array(engine.parameters.current)
      #expect(isUnchanged)
      let trained = try engine.train(batch, learningRate: 0.25)
      #expect(trained == result)
      for parameter in engine.plan.network.parameters where parameter.isLearned {
        for i in parameter.range {
          let moved = before[i] - 0.25 * gradient.start[i]
          #expect(abs(engine.parameters.current[i] - moved) <= 1e-6 * max(1, abs(moved)), "\(parameter.name)")
        }
      }
    }
  }

  /// The losses along the gradient are those that steps of that size lead to.
  @Test func landscapeIsWhereStepsLead() throws {
    let trainer = try Self.trainer()
    let landscape = try Self.measure(trainer) { try LossLandscape($0, $1, learningRate: 0.1, points: 2) }
    let losses = try [0.5, 4].map { share in
      let trainer = try Self.trainer()
      return try Self.measure(trainer) { engine, batch in
        _ = try engine.train(batch, learningRate: Float(share * 0.1))
        engine.step = 0  // The same noise.
        return try engine.evaluate(batch, .trial).loss
      }
    }
    let range = try #require(landscape.loss)
    #expect(abs(range.lowerBound - losses.min()!) < 1e-6 && abs(range.upperBound - losses.max()!) < 1e-6)
    #expect(landscape.diverged == 0 && landscape.step == 0)
    let (change, smoothness) = (try #require(landscape.gradientChange), try #require(landscape.smoothness))
    #expect(change.lowerBound > 0 && change.upperBound > change.lowerBound && smoothness > 0)
  }

  /// Nothing is below the first layer; above it, the shift is that of two gradients.
  @Test func covariateShift() throws {
    let trainer = try Self.trainer()
    try Self.measure(trainer) { engine, batch in
      let shifts = try CovariateShift.measure(engine, batch, learningRate: 0.5, layers: [1, 2, 3, 99])
      #expect(shifts.map(\.layer) == [1, 2, 3])
      #expect(shifts[0].difference == 0 && abs(shifts[0].cosine - 1) < 1e-12)
      #expect(shifts[1].difference > 0 && shifts[1].cosine < 1)

      // By hand: the first convolution and its batch norm take their step, the second convolution's gradient is looked at.
      let parameters = engine.plan.network.parameters
      let before = try engine.gradient(batch).gradient
      for parameter in parameters where ["0.weight", "1.weight", "1.bias"].contains(parameter.name) {
        engine.parameters.change { for i in parameter.range { $0[i] -= 0.5 * before.start[i] } }
      }
      let after = try engine.gradient(batch).gradient
      let weight = try #require(parameters.first { $0.name == "3.weight" })
      let difference = weight.range.map { after.start[$0] - before.start[$0] }
      #expect(abs(norm(difference) - shifts[1].difference) < 1e-6 * shifts[1].difference)
    }
  }

  /// On ranks and threads the same as on one.
  @Test func sameOnAnyGrid() throws {
    func found(_ ranks: Int, _ threads: Int) throws -> [[Double]] {
      try asRanks(ranks) { communicator in
        let trainer = try Self.trainer(communicator, threads: threads)
        return try Self.measure(trainer) { engine, batch in
          let landscape = try LossLandscape(engine, batch, learningRate: 0.1, points: 3)
          let shifts = try CovariateShift.measure(engine, batch, learningRate: 0.1, layers: [2, 3])
          return [landscape.loss!.lowerBound, landscape.gradientChange!.upperBound, landscape.smoothness!]
            + shifts.flatMap { [$0.difference, $0.cosine] }
        }
      }
    }
    let reference = try found(1, 1)[0]
    for (ranks, threads) in [(1, 2), (2, 1), (2, 2), (3, 1)] {
      let isSame = try found(ranks, threads).allSatisfy { $0 == reference }
      #expect(isSame, "\(ranks) x \(threads)")
    }
  }

  /// One channel of what goes into a layer, sample by sample, on every rank.
  @Test func inputsOfALayer() throws {
    func inputs(_ ranks: Int, _ threads: Int) throws -> [[Float]] {
      try asRanks(ranks) { communicator in
        let trainer = try Self.trainer(communicator, threads: threads)
        return try Self.measure(trainer) { try $0.inputs(of: "7", channel: 5, $1) }
      }
    }
    let reference = try inputs(1, 1)[0]
    #expect(reference.count == Self.batch && Set(reference).count == Self.batch)
    #expect(try inputs(2, 2).allSatisfy { $0 == reference })
  }
}
