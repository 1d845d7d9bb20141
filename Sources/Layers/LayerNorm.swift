import Kernels
import Tensors

/// Layer normalization: each sample by itself, over all of its elements.
///
///     y = (x - mean) * rstd * weight + bias,   rstd = 1 / sqrt(variance + epsilon)
///
/// x, y: [N, C, H, W] or [N, F]; mean and variance: one per sample; weight, bias: [C, H, W] or [F], one per element.
///
/// Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450; names and defaults are those of PyTorch's `LayerNorm` over the shape
/// of a sample.
public struct LayerNorm: Layer {
  var epsilon: Float
  var affine: Bool

  /// - Parameter affine: whether weight and bias are learned.
  public init(epsilon: Float = 1e-5, affine: Bool = true) {
    self.epsilon = epsilon
    self.affine = affine
  }

  /// One group of all channels; an image's weight has more elements than channels and takes a pass of its own.
  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    let isVector = x.shape.positions == 1
    let normalized = try GroupNorm(1, epsilon: epsilon, affine: affine && isVector).build(x, in: network)
    guard affine, !isVector else { return normalized }
    return network.append(
      ElementwiseAffineOperation(network.path, normalized, network.value(x.shape), network))
  }
}

/// y = x * weight + bias, elementwise.
final class ElementwiseAffineOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  private let weight: Parameter
  private let bias: Parameter

  init(_ name: String, _ x: Value, _ y: Value, _ network: NetworkBuilder) {
    let shape = [x.shape.channels, x.shape.height, x.shape.width]
    weight = network.parameter("weight", shape, .normalization, .constant(1))
    bias = network.parameter("bias", shape, .normalization, .constant(0))
    for parameter in [weight, bias] { parameter.layout = WeightLayout(sample: x.layout) }
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "ElementwiseAffine" }
  var parameters: [Parameter] { [weight, bias] }
  var isCheap: Bool { true }
  func backwardReads(input: Int) -> Bool { input == 0 }
  var flopsPerSample: Int { 2 * output.shape.count }

  private var count: Int { output.layout.sampleStride }

  func forward(_ slice: Slice) {
    for row in 0..<slice.count {
      Elementwise.multiply(
        slice[inputs[0]] + row * count, by: slice.parameter(weight), adding: slice.parameter(bias),
        y: slice[output] + row * count, count: count)
    }
  }

  /// dx = dy * weight,   dWeight = sum(dy * x),   dBias = sum(dy)
  func backward(_ slice: Slice) {
    let (x, dy) = (slice[inputs[0]], slice.gradient(output))
    for piece in slice.pieces {
      let gradients = slice.gradients(piece.place)
      let start = piece.start * count
      Elementwise.addRows(
        dy + start, times: x + start, rows: piece.count, stride: count, to: gradients + weight.offset, count: count,
        adds: piece.place.adds)
      slice.merge(piece.place, weight.range)
      Elementwise.addRows(
        dy + start, rows: piece.count, stride: count, to: gradients + bias.offset, count: count,
        adds: piece.place.adds)
      slice.merge(piece.place, bias.range)
    }
    guard let dx = slice.inputGradient(self, 0) else { return }
    for row in 0..<slice.count {
      Elementwise.multiply(
        dy + row * count, by: slice.parameter(weight), adding: nil, y: dx + row * count, count: count)
    }
  }
}
