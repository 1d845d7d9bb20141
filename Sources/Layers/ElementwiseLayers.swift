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
    slice.forEachCall(whole: takesAnyCount) { start, count in
      let start = start * stride
      kernel.forward(x + start, y: y + start, count: count * stride, slice.kernels)
    }
    if function == .sigmoid { Elementwise.clearPadding(y, output.layout, samples: slice.count) }
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    let (y, dy) = (slice[output], slice.gradient(output))
    slice.forEachCall(whole: takesAnyCount) { start, count in
      let start = start * stride
      kernel.backward(dy + start, y: y + start, dx: dx + start, count: count * stride, slice.kernels)
    }
  }

  private var stride: Int { output.layout.sampleStride }
  /// Whether samples are whole vectors. What is left of vectors must fall on the same elements whoever computes them; but every
  /// call costs half a microsecond.
  private var takesAnyCount: Bool { stride % InstructionSet.channelBlock == 0 }
}
