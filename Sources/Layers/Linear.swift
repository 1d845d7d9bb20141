import Kernels
import Tensors

/// y = x weight^T + bias.
///
/// x: [N, F], weight: [K, F], bias: [K], y: [N, K]. Images must be flattened first.
/// Begins as PyTorch's `Linear`: weight and bias uniform in +-1 / sqrt(F).
public struct Linear: Layer {
  var outputs: Int
  var hasBias: Bool

  public init(_ outputs: Int, bias: Bool = true) {
    self.outputs = outputs
    hasBias = bias
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    guard x.shape.positions == 1 else {
      throw network.error("Linear takes vectors, not images \(x.shape); put Flatten() before it")
    }
    guard outputs > 0 else { throw network.error("Linear needs at least one output") }
    let y = network.value(.features(outputs))
    let initializer = Initializer.standard(fanIn: x.shape.channels)
    let weight = network.parameter("weight", [outputs, x.shape.channels], .weight, initializer)
    let bias = hasBias ? network.parameter("bias", [outputs], .bias, initializer) : nil
    bias?.layout = WeightLayout(plain: [outputs], paddedCount: y.layout.paddedChannels)
    return network.append(LinearOperation(network.path, x, y, weight, bias))
  }
}

final class LinearOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  private let weight: Parameter
  private let bias: Parameter?

  init(_ name: String, _ x: Value, _ y: Value, _ weight: Parameter, _ bias: Parameter?) {
    self.weight = weight
    self.bias = bias
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "Linear" }
  var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
  var backwardReadsInputs: Bool { true }
  var flopsPerSample: Int { 2 * features * outputs }
  var implementations: [String] { ["sgemm"] }

  private var features: Int { inputs[0].shape.channels }
  private var outputs: Int { output.shape.channels }
  private var xStride: Int { inputs[0].layout.sampleStride }
  private var yStride: Int { output.layout.sampleStride }

  /// y = x weight^T + bias
  func forward(_ slice: Slice) {
    let y = slice[output]
    if let bias { Elementwise.fillRows(y, with: slice.parameter(bias), rows: slice.count, count: yStride) }
    MatrixProduct.multiply(
      Matrix(slice[inputs[0]], stride: xStride), Matrix(slice.parameter(weight), stride: features).transposed,
      rows: slice.count, columns: outputs, inner: features, beta: bias == nil ? 0 : 1, y, stride: yStride)
  }

  /// dx = dy weight,   dWeight = dy^T x,   dBias = sum(dy)
  func backward(_ slice: Slice) {
    let dyStart = slice.gradient(output)
    let dy = Matrix(dyStart, stride: yStride)
    if let dx = slice.inputGradient(self, 0) {
      MatrixProduct.multiply(
        dy, Matrix(slice.parameter(weight), stride: features), rows: slice.count, columns: features, inner: outputs,
        beta: 0, dx, stride: xStride)
    }
    MatrixProduct.multiply(
      dy.transposed, Matrix(slice[inputs[0]], stride: xStride), rows: outputs, columns: features,
      inner: slice.count, beta: slice.isFirstOfShard ? 0 : 1, slice.shard.gradient(weight), stride: features)
    if let bias {
      let dBias = slice.shard.gradient(bias)
      if slice.isFirstOfShard { dBias.update(repeating: 0, count: bias.layout.count) }
      Elementwise.addRows(dyStart, rows: slice.count, stride: yStride, to: dBias, count: yStride)
    }
  }
}
