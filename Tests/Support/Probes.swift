import Kernels
import Layers
import Tensors

/// What goes into a layer and comes out of it, all plain [N, C, H, W].
///
/// Sendable: samples belong to one worker each, of any rank; they are read when all ranks are done.
package final class Recording: @unchecked Sendable {
  let w: AlignedBuffer<Float>
  let y: AlignedBuffer<Float>
  let dx: AlignedBuffer<Float>

  init(samples: Int, input: SampleShape, output: SampleShape) {
    w = AlignedBuffer(count: samples * output.count)
    y = AlignedBuffer(count: samples * output.count)
    dx = AlignedBuffer(count: samples * input.count)
  }
}

extension ActivationLayout {
  /// Where an element of a sample lies in memory, given its place in the plain layout.
  package func index(ofPlain element: Int) -> Int {
    let (channel, position) = element.quotientAndRemainder(dividingBy: positions)
    return (channel / block * positions + position) * block + channel % block
  }

  fileprivate func copySample(plain: UnsafePointer<Float>, to packed: UnsafeMutablePointer<Float>) {
    packed.update(repeating: 0, count: sampleStride)
    for i in 0..<shape.count { packed[index(ofPlain: i)] = plain[i] }
  }

  fileprivate func copySample(_ packed: UnsafePointer<Float>, toPlain plain: UnsafeMutablePointer<Float>) {
    for i in 0..<shape.count { plain[i] = packed[index(ofPlain: i)] }
  }
}

/// The identity; writes down the gradient of its input. A learned parameter, unused, makes that gradient wanted.
struct InputProbe: Layer {
  let recording: Recording
  let isBlocked: Bool

  func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    let y = isBlocked ? network.value(x.shape) : network.value(x.shape, block: 1)
    let unused = network.parameter("unused", [1], .bias, .constant(0))
    return network.append(InputProbeOperation(recording, x, y, unused))
  }
}

private final class InputProbeOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  let kind = "Probe"
  let flopsPerSample = 0
  let parameters: [Parameter]
  private let recording: Recording

  init(_ recording: Recording, _ x: Value, _ y: Value, _ unused: Parameter) {
    self.recording = recording
    parameters = [unused]
    wiring = Wiring("input", [x], y)
  }

  func forward(_ slice: Slice) {
    for row in 0..<slice.count {
      output.layout.copySample(
        plain: slice[inputs[0]] + row * output.shape.count, to: slice[output] + row * output.layout.sampleStride)
    }
  }

  func backward(_ slice: Slice) {
    for (row, sample) in slice.samples.enumerated() {
      output.layout.copySample(
        slice.gradient(output) + row * output.layout.sampleStride,
        toPlain: recording.dx.start + sample * output.shape.count)
    }
  }

  func finishBackward(_ worker: Worker) { worker.addUpShards(parameters[0].range) { _, _ in } }
}

/// Stands for the loss sum(w * y): writes down its input y and gives it the gradient w. Its two logits are 0.
struct OutputProbe: Layer {
  static let classCount = 2
  let recording: Recording

  func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    network.append(OutputProbeOperation(recording, x, network.value(.features(Self.classCount))))
  }
}

private final class OutputProbeOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  let kind = "Probe"
  let flopsPerSample = 0
  private let recording: Recording

  init(_ recording: Recording, _ x: Value, _ logits: Value) {
    self.recording = recording
    wiring = Wiring("output", [x], logits)
  }

  private var layout: ActivationLayout { inputs[0].layout }

  func forward(_ slice: Slice) {
    for (row, sample) in slice.samples.enumerated() {
      layout.copySample(
        slice[inputs[0]] + row * layout.sampleStride, toPlain: recording.y.start + sample * layout.shape.count)
    }
    slice[output].update(repeating: 0, count: slice.count * output.layout.sampleStride)
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    for (row, sample) in slice.samples.enumerated() {
      layout.copySample(
        plain: recording.w.start + sample * layout.shape.count, to: dx + row * layout.sampleStride)
    }
  }
}
