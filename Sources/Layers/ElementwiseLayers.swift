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
  let function: Activation

  init(_ name: String, _ function: Activation, _ x: Value, _ y: Value) {
    self.function = function
    wiring = Wiring(name, [x], y)
  }

  var kind: String { function.name }
  var isCheap: Bool { function.isCheap }
  var backwardReadsOutput: Bool { true }
  var backwardWorksInPlace: Bool { true }
  var flopsPerSample: Int { output.shape.count }

  func forward(_ slice: Slice) {
    function.forward(slice[inputs[0]], y: slice[output], count: elements(slice))
    if function == .sigmoid { Elementwise.clearPadding(slice[output], output.layout, samples: slice.count) }
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    function.backward(slice.gradient(output), y: slice[output], dx: dx, count: elements(slice))
  }
}

extension Activation {
  var name: String {
    switch self {
    case .relu: "ReLU"
    case .sigmoid: "Sigmoid"
    case .tanh: "Tanh"
    }
  }

  /// Whether computing it again costs less than keeping it.
  var isCheap: Bool { self == .relu }
}

extension Activation? {
  var isCheap: Bool { self?.isCheap ?? true }
}
