import Tensors

/// y = x: marks a place that can be observed by name. What surrounds it is not joined into one pass.
public struct Identity: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    network.append(IdentityOperation(network.path, x, network.value(x.shape, block: x.block)))
  }
}

private final class IdentityOperation: Operation, @unchecked Sendable {
  let wiring: Wiring

  init(_ name: String, _ x: Value, _ y: Value) { wiring = Wiring(name, [x], y) }

  var kind: String { "Identity" }
  var isCheap: Bool { true }
  var backwardWorksInPlace: Bool { true }
  var flopsPerSample: Int { 0 }

  func forward(_ slice: Slice) { slice[output].update(from: slice[inputs[0]], count: elements(slice)) }

  func backward(_ slice: Slice) {
    slice.inputGradient(self, 0)?.update(from: slice.gradient(output), count: elements(slice))
  }
}
