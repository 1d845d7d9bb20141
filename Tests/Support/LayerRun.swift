import Collectives
import Kernels
import Layers
import Tensors
import Training

/// A layer, or a composition of layers, on given data: forward, and backward from the loss sum(w * y).
package struct LayerRun: Sendable {
  package let layer: any Layer
  package let input: SampleShape
  package let sampleCount: Int
  /// [N, C, H, W]; several batches follow one upon the other, and the last one's results count.
  package var batches: [[Float]]
  /// [N, C', H', W']
  package var w: [Float]
  /// Parameters and running statistics that do not begin as their initializers say, by name.
  package var values: [String: [Float]] = [:]
  /// If given, the layer's outputs are the logits of a softmax cross-entropy, whose mean is the loss in place of sum(w * y).
  package var labels: [Int32]?
  package var labelSmoothing: Float = 0
  /// Whether the layer is asked for the gradient of x.
  package var wantsInputGradient = true
  /// Whether the layer's input comes in blocks of channels, as from another layer.
  package var inputIsBlocked = false
  /// Without momentum and weight decay, the velocity is the gradient itself.
  package var optimizer = SGD(momentum: 0)
  /// With 0, the parameters stay what they are; running statistics change.
  package var learningRate: Float = 0
  package var precision = Precision.float32
  /// If given, how convolutions compute, in place of the usual choice.
  package var algorithms: (@Sendable (ConvolutionGeometry) -> ConvolutionAlgorithms)?
  package var seed: UInt64 = 5

  /// Random normal x and w.
  package init(
    _ input: SampleShape, samples: Int, labels: [Int32]? = nil, _ layer: any Layer
  ) throws {
    let builder = NetworkBuilder()
    let output = try layer.build(builder.value(input, block: 1), in: builder).shape
    self.layer = layer
    self.input = input
    self.labels = labels
    sampleCount = samples
    batches = [Self.random(samples * input.count, number: 0)]
    w = Self.random(samples * output.count, number: 1)
  }

  /// Normal numbers, keyed.
  package static func random(_ count: Int, number: Int) -> [Float] {
    var random = KeyedRandom(seed: 77, .data, number)
    return (0..<count).map { _ in random.normal() }
  }

  /// A parameter or running statistic of the layer.
  package struct ParameterInfo: Sendable {
    package let name: String
    package let count: Int
    package let isNormalization: Bool
  }

  /// The layer's parameters, in the order of definition.
  package var parameters: [ParameterInfo] {
    let builder = NetworkBuilder()
    _ = try? layer.build(builder.value(input, block: 1), in: builder)
    return builder.parameters.map {
      ParameterInfo(name: $0.name, count: $0.count, isNormalization: $0.role == .normalization)
    }
  }

  /// How a batch is divided.
  package struct Division: Sendable, Hashable {
    package var ranks: Int
    package var threads: Int
    package var shards: Int

    package init(ranks: Int = 1, threads: Int = 1, shards: Int = 1) {
      (self.ranks, self.threads, self.shards) = (ranks, threads, shards)
    }
  }

  package struct Outcome: Sendable {
    package var y: [Float]
    package var dx: [Float]
    /// Of the learned parameters, by name; in truth the optimizer's velocities.
    package var gradients: [String: [Float]]
    /// Parameters and running statistics after the step.
    package var model: [String: [Float]]
    package var loss: Double
    /// y of the last batch in evaluation, after the step.
    package var evaluation: [Float]

    /// The first thing in which two outcomes differ by a bit.
    package func difference(from other: Outcome) -> String? {
      if bits(y) != bits(other.y) { return "y" }
      if bits(dx) != bits(other.dx) { return "dx" }
      if bits(evaluation) != bits(other.evaluation) { return "y in evaluation" }
      if loss.bitPattern != other.loss.bitPattern { return "loss" }
      if gradients.keys != other.gradients.keys || model.keys != other.model.keys { return "names" }
      for name in gradients.keys.sorted() where bits(gradients[name]!) != bits(other.gradients[name]!) {
        return "gradient of \(name)"
      }
      for name in model.keys.sorted() where bits(model[name]!) != bits(other.model[name]!) { return name }
      return nil
    }

    private func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
  }

  /// Runs on ranks x threads, each rank a thread with an engine of its own; all ranks must agree.
  package func outcome(_ division: Division = Division()) throws -> Outcome {
    let recording = try makeRecording()
    let outcomes = try asRanks(division.ranks) { communicator in
      let engine = try ProbedEngine(self, recording, communicator, division)
      return try engine.outcome()
    }
    for rank in 1..<max(division.ranks, 1) {
      if let difference = outcomes[rank].difference(from: outcomes[0]) {
        throw LockstepError("ranks 0 and \(rank) disagree: \(difference)")
      }
    }
    return outcomes[0]
  }

  func makeRecording() throws -> Recording {
    let recording = Recording(
      samples: sampleCount, input: input, output: SampleShape(channels: w.count / sampleCount, height: 1, width: 1))
    recording.w.start.update(from: w, count: w.count)
    return recording
  }
}
