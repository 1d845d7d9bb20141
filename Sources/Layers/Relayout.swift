import Kernels
import Tensors

/// Copies an activation from one memory layout to another: plain images into blocks of channels, and back to flatten.
final class Relayout: Operation, @unchecked Sendable {
  let wiring: Wiring
  let kind = "Relayout"
  let flopsPerSample = 0
  private let forwards = Cache<Int, Primitive>()
  private let backwards = Cache<Int, Primitive>()

  init(_ name: String, _ x: Value, _ y: Value) {
    wiring = Wiring(name, [x], y)
  }

  func forward(_ slice: Slice) {
    forwards.with(
      slice.count, make: { Reorder.primitive(from: inputs[0].layout, to: logicalOutput, samples: slice.count) }
    ) { slice.kernels.run($0, slice[inputs[0]], slice[output]) }
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    backwards.with(
      slice.count, make: { Reorder.primitive(from: logicalOutput, to: inputs[0].layout, samples: slice.count) }
    ) { slice.kernels.run($0, slice.gradient(output), dx) }
  }

  /// A flattened image is a plain image to the copy.
  private var logicalOutput: ActivationLayout {
    ActivationLayout(shape: inputs[0].shape, block: output.block)
  }
}

/// Makes a feature vector of an image, in the order C, H, W. [N, C, H, W] -> [N, C * H * W].
public struct Flatten: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    let features = SampleShape.features(x.shape.count)
    if x.shape.positions == 1 { return x }
    if x.block == 1 { return Value(number: x.number, shape: features, block: 1) }
    return network.append(Relayout(network.path, x, network.value(features, block: 1)))
  }
}
