import Kernels
import Tensors

/// y = max(x, 0).
public struct ReLU: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    network.append(ElementwiseOperation(network.path, .relu, x, network.value(x.shape, block: x.block)))
  }
}

/// y = 1 / (1 + exp(-x)).
public struct Sigmoid: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    network.append(ElementwiseOperation(network.path, .sigmoid, x, network.value(x.shape, block: x.block)))
  }
}

/// y = tanh(x).
public struct Tanh: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    network.append(ElementwiseOperation(network.path, .tanh, x, network.value(x.shape, block: x.block)))
  }
}

/// y = f(x), dx = dy * f'(x), the derivative in terms of y: [y > 0], y (1 - y), 1 - y^2.
final class ElementwiseOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  let function: ActivationKernel.Function
  private let kernel: ActivationKernel

  init(_ name: String, _ function: ActivationKernel.Function, _ x: Value, _ y: Value) {
    self.function = function
    kernel = ActivationKernel(function)
    wiring = Wiring(name, [x], y)
  }

  var kind: String {
    switch function {
    case .relu: "ReLU"
    case .sigmoid: "Sigmoid"
    case .tanh: "Tanh"
    }
  }
  var isCheap: Bool { function == .relu }
  var backwardReadsOutput: Bool { true }
  var backwardWorksInPlace: Bool { true }
  var flopsPerSample: Int { output.shape.count }

  func forward(_ slice: Slice) {
    let (x, y) = (slice[inputs[0]], slice[output])
    forEachCall(slice) { start, count in kernel.forward(x + start, y: y + start, count: count, slice.kernels) }
    if function == .sigmoid { Elementwise.clearPadding(y, output.layout, samples: slice.count) }
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    let (y, dy) = (slice[output], slice.gradient(output))
    forEachCall(slice) { start, count in
      kernel.backward(dy + start, y: y + start, dx: dx + start, count: count, slice.kernels)
    }
  }

  /// One call if samples are whole vectors, for every call costs half a microsecond; else calls of the same size whoever
  /// computes them, so that vectors and what is left of them fall on the same elements.
  private func forEachCall(_ slice: Slice, _ body: (_ start: Int, _ count: Int) -> Void) {
    let stride = output.layout.sampleStride
    if stride % InstructionSet.channelBlock == 0 { return body(0, slice.count * stride) }
    for piece in slice.pieces { body(piece.start * stride, piece.count * stride) }
  }
}
