import Kernels
import Tensors

/// y = x weight^T + bias.
///
/// x: [N, F], weight: [K, F], bias: [K], y: [N, K]. Images must be flattened first.
/// Begins as PyTorch's `Linear`: weight and bias uniform in +-1 / sqrt(F).
public struct Linear: Layer {
  var outputs: Int
  var hasBias: Bool
  var initializer: Initializer?

  /// - Parameter weight: how the weight begins, if not as PyTorch's.
  public init(_ outputs: Int, bias: Bool = true, weight initializer: Initializer? = nil) {
    self.outputs = outputs
    hasBias = bias
    self.initializer = initializer
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    guard x.shape.positions == 1 else {
      throw network.error("Linear takes vectors, not images \(x.shape); put Flatten() before it")
    }
    guard outputs > 0 else { throw network.error("Linear needs at least one output") }
    let y = network.value(.features(outputs))
    let standard = Initializer.standard(fanIn: x.shape.channels)
    let weight = network.parameter("weight", [outputs, x.shape.channels], .weight, initializer ?? standard)
    // The outputs are the vectors' lanes, in the product that makes y as in the one that makes dWeight.
    weight.layout = WeightLayout(transposedStrips: weight.shape)
    let bias = hasBias ? network.parameter("bias", [outputs], .bias, standard) : nil
    bias?.layout = WeightLayout(plain: [outputs], paddedCount: y.layout.paddedChannels)
    return network.append(LinearOperation(network.path, x, y, weight, bias))
  }
}

final class LinearOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  private let weight: Parameter
  private let bias: Parameter?
  /// The weight [K, F], its columns in strips.
  private var backwardPlace: Int?
  private var featureStride: Int {
    ActivationLayout(shape: inputs[0].shape, block: output.block).paddedChannels
  }

  init(_ name: String, _ x: Value, _ y: Value, _ weight: Parameter, _ bias: Parameter?) {
    self.weight = weight
    self.bias = bias
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "Linear" }
  var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
  func backwardReads(input: Int) -> Bool { true }
  var flopsPerSample: Int { 2 * features * output.shape.channels }
  var implementations: [String] { ["matrix product"] }

  private var features: Int { inputs[0].shape.channels }
  private var xStride: Int { inputs[0].layout.sampleStride }
  /// Outputs, including padding.
  private var outputs: Int { output.layout.paddedChannels }

  var backwardWeightCount: Int { wiring.needsInputGradient[0] ? outputs * featureStride : 0 }

  func placeBackwardWeights(_ place: Int) { backwardPlace = place }

  /// Turns the weight for the product with dy.
  func prepareBackward(_ worker: Worker, _ share: Share) {
    guard let backwardPlace else { return }
    Matrix(strips: worker.parameters + weight.offset, rows: features, columns: outputs).transpose(
      rows: features, columns: outputs,
      into: Matrix(strips: worker.backwardWeights + backwardPlace, rows: outputs, columns: featureStride), share)
  }

  /// y = x weight^T + bias
  func forward(_ slice: Slice) {
    let y = slice[output]
    // The bias itself, bound here, would count a reference; all workers would wait for each other.
    if let offset = bias?.offset {
      Elementwise.fillRows(y, with: slice.parameter(at: offset), rows: slice.count, count: outputs)
    }
    MatrixProduct.multiply(
      Matrix(slice[inputs[0]], stride: xStride),
      Matrix(strips: slice.parameter(weight), rows: features, columns: outputs),
      rows: slice.count, columns: outputs, inner: features, adds: bias != nil, into: Matrix(y, stride: outputs))
  }

  /// dx = dy weight,   dWeight = dy^T x,   dBias = sum(dy)
  func backward(_ slice: Slice) {
    let dy = UnsafePointer(slice.gradient(output))
    if let dx = slice.inputGradient(self, 0), let backwardPlace {
      multiply(dy, by: slice.backwardWeights + backwardPlace, dx, slice)
    }
    addWeightGradient(slice[inputs[0]], dy, slice)
    guard let bias = bias?.range else { return }
    for piece in slice.pieces {
      Elementwise.addRows(
        dy + piece.start * outputs, rows: piece.count, stride: outputs,
        to: slice.gradients(piece.place) + bias.lowerBound, count: outputs, adds: piece.place.adds)
      slice.merge(piece.place, bias)
    }
  }

  /// dx = dy weight, by way of rows that are whole vectors where dx's are not.
  private func multiply(
    _ dy: UnsafePointer<Float>, by weight: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>, _ slice: Slice
  ) {
    let rows = xStride == featureStride ? dx : slice.kernels.area(1, slice.count * featureStride)
    MatrixProduct.multiply(
      Matrix(dy, stride: outputs), Matrix(strips: weight, rows: outputs, columns: featureStride), rows: slice.count,
      columns: featureStride, inner: outputs, adds: false, into: Matrix(rows, stride: featureStride))
    guard rows != dx else { return }
    for row in 0..<slice.count { (dx + row * xStride).update(from: rows + row * featureStride, count: features) }
  }

  /// dWeight = dy^T x; a wide layer's block by block, so that the sums of all pieces stay near until they are added up.
  private func addWeightGradient(_ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ slice: Slice) {
    let isWide = max(features, outputs) >= Self.wide
    let rows = Panels(
      of: x, stride: xStride, length: features, width: isWide ? MatrixProduct.rowsAtOnce(of: features) : features,
      slice, area: 0)
    let columns = Panels(
      of: dy, stride: outputs, length: outputs, width: isWide ? Matrix.stripWidth : outputs, slice, area: 2)
    rows.forEach { row, rowCount, x in
      columns.forEach { column, columnCount, dy in
        let start = weight.offset + column * features + row * min(columnCount, Matrix.stripWidth)
        for piece in slice.pieces {
          MatrixProduct.multiply(
            x.dropFirst(piece.start).transposed, dy.dropFirst(piece.start), rows: rowCount, columns: columnCount,
            inner: piece.count, adds: piece.place.adds,
            into: Matrix(strips: slice.gradients(piece.place) + start, rows: features, columns: columnCount))
          slice.merge(piece.place, start..<start + rowCount * columnCount)
        }
      }
    }
  }

  /// From this width on layers are wide; measured (`lockstep bench step`).
  private static var wide: Int { 1024 }
}
