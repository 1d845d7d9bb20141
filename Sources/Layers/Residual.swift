import Kernels
import Tensors

/// y = main(x) + shortcut(x), optionally rectified.
///
/// The main path's layers bear their names directly in the block's, as torchvision's: `conv1`, `bn1`, ...; the
/// shortcut's are called `downsample`.
/// Source: He et al. 2016, doi:10.1109/CVPR.2016.90.
public struct Residual: Layer {
  let main: Sequential
  let shortcut: Sequential?
  let rectifies: Bool

  /// - Parameters:
  ///   - shortcut: the identity if nil.
  ///   - rectifies: whether a ReLU follows the sum.
  public init(
    rectifies: Bool = true, shortcut: Sequential? = nil, @LayerBuilder main: () throws -> [any Layer]
  ) rethrows {
    self.main = try Sequential(main)
    self.shortcut = shortcut
    self.rectifies = rectifies
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    let x = network.blocked(x)
    let y = try main.build(x, in: network)
    let residual = try network.inScope("downsample") { try shortcut?.build(x, in: network) ?? x }
    guard y.shape == residual.shape else {
      throw network.error("the main path gives \(y.shape), the shortcut \(residual.shape); they cannot be added")
    }
    return network.append(
      SumOperation(network.path, y, residual, network.value(y.shape), rectifies: rectifies))
  }
}

/// y = x + residual, optionally rectified: the sum where it cannot be part of a normalization's pass.
final class SumOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  let rectifies: Bool

  init(_ name: String, _ x: Value, _ residual: Value, _ y: Value, rectifies: Bool) {
    self.rectifies = rectifies
    wiring = Wiring(name, [x, residual], y)
  }

  var kind: String { "Sum" + (rectifies ? " + ReLU" : "") }
  var isCheap: Bool { true }
  var backwardReadsOutput: Bool { rectifies }
  var backwardWorksInPlace: Bool { true }
  var flopsPerSample: Int { output.shape.count }

  func forward(_ slice: Slice) {
    Elementwise.sum(
      slice[inputs[0]], slice[inputs[1]], rectify: rectifies, y: slice[output], count: elements(slice))
  }

  func backward(_ slice: Slice) {
    for index in 0..<2 {
      guard let dx = slice.inputGradient(self, index) else { continue }
      if rectifies {
        Activation.relu.backward(slice.gradient(output), y: slice[output], dx: dx, count: elements(slice))
      } else {
        dx.update(from: slice.gradient(output), count: elements(slice))
      }
    }
  }
}
