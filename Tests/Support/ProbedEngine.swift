import Collectives
import Kernels
import Layers
import Tensors
import Training

/// One rank's engine between probes.
final class ProbedEngine {
  private let run: LayerRun
  private let recording: Recording
  private let engine: Engine
  private let initial: Safetensors

  private static let inputName = "input-probe"

  init(
    _ run: LayerRun, _ recording: Recording, _ communicator: any Communicator, _ division: LayerRun.Division
  ) throws {
    self.run = run
    self.recording = recording
    let model = Sequential {
      if run.wantsInputGradient {
        InputProbe(recording: recording, isBlocked: run.inputIsBlocked).named(Self.inputName)
      }
      // Without a scope, parameters bear the layer's own names: weight, bias.
      run.layer.named("")
      if run.labels == nil { OutputProbe(recording: recording).named("output-probe") }
    }
    let classCount = run.labels == nil ? OutputProbe.classCount : run.w.count / run.sampleCount
    func makeEngine(_ kernels: KernelPlan? = nil) throws -> Engine {
      let network = try Network(model, input: run.input, classCount: classCount, labelSmoothing: run.labelSmoothing)
      return try Engine(
        network, communicator: communicator, threads: division.threads, batchSizes: [run.sampleCount],
        shards: division.shards, optimizer: run.optimizer, seed: run.seed, patience: .oversubscribed,
        precision: run.precision, kernels: kernels)
    }
    let usual = try makeEngine()
    engine = try run.algorithms.map { try makeEngine(Self.kernels(usual.plan, $0)) } ?? usual
    initial = engine.model
    for name in run.values.keys where initial[name] == nil { throw LockstepError("the layer has no \(name)") }
  }

  private static func kernels(
    _ plan: Plan, _ algorithms: (ConvolutionGeometry) -> ConvolutionAlgorithms
  ) -> KernelPlan {
    let convolutions = plan.network.operations.compactMap { $0 as? any TunableConvolution }
    return KernelPlan(
      convolutions: Dictionary(uniqueKeysWithValues: convolutions.map { ($0.name, algorithms($0.geometry)) }),
      sliceSizes: plan.segments.map(\.sliceSize))
  }

  /// Takes the run's parameters and those in `changed`.
  func reset(_ changed: [String: [Float]] = [:]) throws {
    var file = initial
    for (name, values) in run.values.merging(changed, uniquingKeysWith: { $1 }) {
      file[name] = Tensor(values, shape: initial[name]!.shape)
    }
    try engine.take(file, from: "test")
    engine.step = 0
  }

  /// Parameters and running statistics now.
  var model: [String: [Float]] {
    let file = engine.model
    return Dictionary(
      uniqueKeysWithValues: file.names.filter { isOfLayer($0) && file[$0]!.type == .float32 }.map {
        ($0, file[$0]!.floats)
      })
  }

  private func isOfLayer(_ name: String) -> Bool { !name.hasPrefix(Self.inputName) }

  /// One step of training. The loss: sum(w * y) in Double, or the cross-entropy's mean.
  func step(_ x: [Float]) throws -> Double {
    let result = try engine.train(batch(x), learningRate: run.learningRate)
    if run.labels != nil { return result.loss }
    try engine.communicator.barrier()
    let loss = zip(recording.w.elements, recording.y.elements).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    // The recording is shared: no rank may write the next step's while another still reads this one's.
    try engine.communicator.barrier()
    return loss
  }

  func outcome() throws -> LayerRun.Outcome {
    try reset()
    var loss = 0.0
    for x in run.batches { loss = try step(x) }
    try engine.communicator.barrier()
    let (y, dx) = (Array(recording.y.elements), Array(recording.dx.elements))
    let velocities = try engine.velocities()
    let gradients = velocities.names.filter(isOfLayer).map { ($0, velocities[$0]!.floats) }
    let model = model
    try engine.communicator.barrier()
    _ = try engine.evaluate(batch(run.batches.last!))
    try engine.communicator.barrier()
    return LayerRun.Outcome(
      y: y, dx: dx, gradients: Dictionary(uniqueKeysWithValues: gradients), model: model, loss: loss,
      evaluation: Array(recording.y.elements))
  }

  private func batch(_ x: [Float]) -> Batch {
    let samples = engine.samples(globalCount: run.sampleCount)
    let labels = run.labels ?? Array(repeating: 0, count: run.sampleCount)
    let values = samples.lowerBound * run.input.count..<samples.upperBound * run.input.count
    return Batch(Array(x[values]), Array(labels[samples]), run.input, globalCount: run.sampleCount)
  }
}
