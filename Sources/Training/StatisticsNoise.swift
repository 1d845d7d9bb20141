import Foundation
import Layers
import Tensors

/// How noisy batch statistics are that workers take from their own samples alone.
///
/// The global batches are cut into groups of n consecutive samples, as workers with n samples each would have them. With
/// a group's mean m and variance v per channel, and the channel's variance s^2 over all samples, the noise is
///
///     of the mean: var(m) / s^2,   of the variance: var(v) / s^4,
///
/// var over groups (unbiased), averaged over channels. Of independent samples both fall as 1/n. Whatever n is, all groups
/// are of the same activations: those of a network whose batch norms take fixed statistics, the moments of all samples
/// looked at. Samples that were normalized together would not be independent: their mean is the same in every batch.
public struct StatisticsNoise: Codable, Sendable {
  /// One group size.
  public struct Point: Codable, Sendable {
    /// Samples per group.
    public let samples: Int
    public let groups: Int
    public let mean: Double
    public let variance: Double
  }

  /// What one batch norm sees.
  public struct Layer: Codable, Sendable {
    public let name: String
    /// Values per channel and sample.
    public let positions: Int
    /// By growing group size.
    public let points: [Point]

    /// The exponent a of noise = c n^a, fitted to the logarithms.
    ///
    /// Least squares with weights groups - 1: the logarithm of a variance estimated from g groups has a variance of about
    /// 2 / (g - 1).
    public func slope(_ noise: KeyPath<Point, Double>) -> Double {
      let points = points.filter { $0[keyPath: noise] > 0 }.map { point in
        (x: log(Double(point.samples)), y: log(point[keyPath: noise]), weight: Double(point.groups - 1))
      }
      let total = points.reduce(0) { $0 + $1.weight }
      let x = points.reduce(0) { $0 + $1.weight * $1.x } / total
      let y = points.reduce(0) { $0 + $1.weight * $1.y } / total
      return points.reduce(0) { $0 + $1.weight * ($1.x - x) * ($1.y - y) }
        / points.reduce(0) { $0 + $1.weight * ($1.x - x) * ($1.x - x) }
    }

    /// How many independent values the mean's noise says that a sample's positions amount to.
    public var independentValues: Double { 1 / (Double(points[0].samples) * points[0].mean) }
  }

  public let layers: [Layer]

  /// - Parameters:
  ///   - layers: each batch norm's name, channels and positions.
  ///   - sums: of each batch and layer, sum(x) and sum(x^2) per sample and channel, [batch samples, 2, row / 2].
  /// - Throws: `LockstepError` naming a layer whose channels are all constant, or not finite.
  package init(
    _ layers: [(name: String, channels: Int, positions: Int)], _ sums: [[SampleSums]], globalBatchSize: Int
  ) throws {
    let sizes = sequence(first: 2) { $0 * 2 < globalBatchSize ? $0 * 2 : nil } + [globalBatchSize]
    self.layers = try layers.enumerated().map { index, layer in
      let batches = sums.map { $0[index] }
      let points = Array(sizes).compactMap { size in
        Self.point(batches, layer.channels, layer.positions, size, globalBatchSize)
      }
      if points.isEmpty {
        throw LockstepError(
          "there is no noise to measure in what batch norm \(layer.name) sees: its values are constant or not finite, or"
            + " too few for two groups of samples; look at the data and the parameters, or raise --batches")
      }
      return Layer(name: layer.name, positions: layer.positions, points: points)
    }
  }

  /// nil if there are fewer than two groups, or all channels are constant.
  private static func point(
    _ batches: [SampleSums], _ channels: Int, _ positions: Int, _ size: Int, _ batchSize: Int
  ) -> Point? {
    let perBatch = batchSize / size
    let groups = perBatch * batches.count
    guard groups > 1 else { return nil }
    let n = Double(size * positions)
    var (meanNoise, varianceNoise, counted) = (0.0, 0.0, 0)
    for channel in 0..<channels {
      var means: [Double] = []
      var variances: [Double] = []
      for batch in batches {
        for group in 0..<perBatch {
          var (sum, squaredSum) = (0.0, 0.0)
          for sample in group * size..<(group + 1) * size {
            sum += batch.sum(sample, channel)
            squaredSum += batch.squaredSum(sample, channel)
          }
          let (mean, variance) = meanAndVariance(sum: sum, squaredSum: squaredSum, count: n)
          means.append(mean)
          variances.append(variance)
        }
      }
      let (mean, variance) = SampleSums.moments(batches, channel, positions: positions)
      // Below Double's resolution of the squares the channel is constant.
      guard variance > mean * mean * 0x1p-40 else { continue }
      meanNoise += spread(means) / variance
      varianceNoise += spread(variances) / (variance * variance)
      counted += 1
    }
    guard counted > 0 else { return nil }
    return Point(
      samples: size, groups: groups, mean: meanNoise / Double(counted), variance: varianceNoise / Double(counted))
  }

  /// The unbiased variance.
  private static func spread(_ values: [Double]) -> Double {
    let mean = values.reduce(0, +) / Double(values.count)
    return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
  }
}

/// sum(x) and sum(x^2) of every sample of a global batch, per channel.
package struct SampleSums: Sendable {
  /// [samples, 2, width]
  let values: [Double]
  /// Channels, including padding.
  let width: Int

  package init(_ values: [Double], width: Int) {
    (self.values, self.width) = (values, width)
  }

  /// A channel's moments over all samples of some batches.
  static func moments(
    _ batches: [SampleSums], _ channel: Int, positions: Int
  ) -> (mean: Double, variance: Double) {
    var (sum, squaredSum, count) = (0.0, 0.0, 0)
    for batch in batches {
      for sample in 0..<batch.count {
        sum += batch.sum(sample, channel)
        squaredSum += batch.squaredSum(sample, channel)
      }
      count += batch.count * positions
    }
    return meanAndVariance(sum: sum, squaredSum: squaredSum, count: Double(count))
  }

  /// Samples.
  private var count: Int { values.count / (2 * width) }

  func sum(_ sample: Int, _ channel: Int) -> Double { values[2 * width * sample + channel] }
  func squaredSum(_ sample: Int, _ channel: Int) -> Double { values[2 * width * sample + width + channel] }
}
