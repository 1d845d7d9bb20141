import Tensors

/// Per-channel normalization: y = (x - mean) / deviation, x being pixels scaled to [0, 1].
public struct Normalization: Hashable, Sendable {
  /// Per channel, in [0, 1].
  public let mean: [Float]
  /// Per channel, above 0.
  public let deviation: [Float]

  /// Normalization with statistics known beforehand.
  ///
  /// - Parameters:
  ///   - mean: [C].
  ///   - deviation: [C].
  public init(mean: [Float], deviation: [Float]) {
    invariant(mean.count == deviation.count, "\(mean.count) means, but \(deviation.count) deviations")
    invariant(deviation.allSatisfy { $0 > 0 }, "a deviation is not above 0: \(deviation)")
    self.mean = mean
    self.deviation = deviation
  }

  /// The statistics of `bytes`, [N, C, H, W], over N, H and W. A constant channel has deviation 1.
  ///
  /// With n values, s their sum and q the sum of their squares, mean = s/n and variance = (n*q - s^2)/n^2. Both
  /// numerators are exact integers, so that the result depends on nothing but the values, and a constant channel is
  /// seen as such.
  public init(of bytes: [UInt8], shape: SampleShape) {
    let positions = shape.positions
    let samples = bytes.count / shape.count
    var sums = [UInt64](repeating: 0, count: shape.channels)
    var squaredSums = sums
    bytes.withUnsafeBufferPointer { bytes in
      for plane in 0..<samples * shape.channels {
        var sum: UInt64 = 0
        var squaredSum: UInt64 = 0
        for i in plane * positions..<(plane + 1) * positions {
          let value = UInt64(bytes[i])
          sum &+= value
          squaredSum &+= value &* value
        }
        sums[plane % shape.channels] += sum
        squaredSums[plane % shape.channels] += squaredSum
      }
    }
    let count = samples * positions
    mean = sums.map { Float(Double($0) / (255 * Double(count))) }
    deviation = zip(sums, squaredSums).map { sum, squaredSum in
      let numerator = UInt128(count) * UInt128(squaredSum) - UInt128(sum) * UInt128(sum)
      return numerator == 0 ? 1 : Float(Double(numerator).squareRoot() / (255 * Double(count)))
    }
  }

  /// The straight line that takes a byte to its normalized value: scale * byte + offset.
  func byteLine(_ channel: Int) -> (scale: Float, offset: Float) {
    (1 / (255 * deviation[channel]), -mean[channel] / deviation[channel])
  }
}
