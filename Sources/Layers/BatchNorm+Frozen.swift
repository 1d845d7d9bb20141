/// With frozen statistics batch norm is a layer like others: no sample depends on another one.
extension BatchNormTransform {
  /// dBias = sum(dy),   dWeight = rstd * sum(dy * (x - mean)), of one piece; the statistics have none.
  ///
  /// - Parameter sums: sum(dy), sum(dy * (x - mean)).
  func addFrozenGradients(_ sums: UnsafePointer<Double>, _ piece: Piece, _ slice: Slice) {
    let (channels, rstds) = (norm.channels, norm.running.rstd)
    add(norm.runningMean, piece, slice) { _ in 0 }
    add(norm.runningVariance, piece, slice) { _ in 0 }
    guard let weight = norm.weight, let bias = norm.bias else { return }
    add(bias, piece, slice) { Float(sums[$0]) }
    add(weight, piece, slice) { Float(rstds[$0] * sums[channels + $0]) }
  }

  private func add(_ parameter: Parameter, _ piece: Piece, _ slice: Slice, _ value: (_ channel: Int) -> Float) {
    let gradient = slice.gradients(piece.place) + parameter.offset
    for c in 0..<norm.channels { gradient[c] = (piece.place.adds ? gradient[c] : 0) + value(c) }
    slice.merge(piece.place, parameter.range)
  }
}
