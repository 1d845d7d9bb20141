import CKernels
import Tensors

/// Batch norm's two kinds of sums over samples and pixels, per channel.
///
/// Float accumulators take short runs and are flushed to Double. x: [n, C/b, P, b], sums: two rows of padded C Doubles.
package enum ChannelSums {
  /// Adds sum(x) and sum(x^2) of every channel to the rows of `sums`; the squares are taken about a shift, so that they do
  /// not cancel when the mean is far larger than the deviation.
  package static func addMoments(
    of x: UnsafePointer<Float>, _ layout: ActivationLayout, samples: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    withUnsafePointer(to: layout.normShape) { channel_moments($0, x, Int32(samples), sums) }
  }

  /// dz = dy where y > 0 (everywhere if `y` is nil), and adds sum(dz) and sum(dz (x - mean)) of every channel to the
  /// rows of `sums`.
  ///
  /// - Parameters:
  ///   - y: the result of the rectifier that follows the normalization, if one does.
  ///   - mean: padded C.
  ///   - copy: where dz is written once more.
  package static func addGradientSums(
    of dy: UnsafePointer<Float>, y: UnsafePointer<Float>?, x: UnsafePointer<Float>, mean: UnsafePointer<Float>,
    dz: UnsafeMutablePointer<Float>, copy: UnsafeMutablePointer<Float>? = nil, _ layout: ActivationLayout, samples: Int,
    to sums: UnsafeMutablePointer<Double>
  ) {
    withUnsafePointer(to: layout.normShape) {
      channel_gradient_sums($0, dy, y, x, mean, dz, copy, Int32(samples), sums)
    }
  }
}

extension ActivationLayout {
  var normShape: norm_shape {
    guard block == 8 || block == 16 else {
      invariantFailure("normalizations take blocks of 8 or 16 channels, not \(block)")
    }
    return norm_shape(block: Int32(block), channels: Int32(paddedChannels), positions: Int32(positions))
  }
}
