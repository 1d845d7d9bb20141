import CKernels
import Tensors

/// Batch norm's two kinds of sums over samples and pixels, per channel.
///
/// Float accumulators take short runs and are flushed to Double. x: [n, C/b, P, b], sums: two rows of padded C Doubles.
package enum ChannelSums {
  /// Adds sum(x) and sum(x^2) of every channel to the rows of `sums`; the squares are taken about a shift, so that they do
  /// not cancel when the mean is far larger than the deviation.
  ///
  /// - Parameter x: if both Floats and 16-bit numbers, it is rounded to bf16 first, and put where those are.
  package static func addMoments(
    of x: Stored, _ layout: ActivationLayout, samples: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    withUnsafePointer(to: layout.normShape) { channel_moments($0, x.place, Int32(samples), sums) }
  }

  /// dz = dy * f'(y), and adds sum(dz) and sum(dz (x - mean)) of every channel to the rows of `sums`.
  ///
  /// - Parameters:
  ///   - dy: rounded to bf16 first if x is 16-bit numbers.
  ///   - activated: the function f that follows the normalization, if one does, and its result y.
  ///   - mean: padded C.
  ///   - copy: where dz is written once more.
  package static func addGradientSums(
    of dy: Stored, through activated: (function: Activation, y: Stored)?, x: Stored, mean: UnsafePointer<Float>,
    dz: Stored, copy: Stored? = nil, _ layout: ActivationLayout, samples: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    withUnsafePointer(to: layout.normShape) {
      channel_gradient_sums(
        $0, (activated?.function).inC, dy.place, (activated?.y).place, x.place, mean, dz.place, copy.place,
        Int32(samples), sums)
    }
  }
}

extension ActivationLayout {
  var normShape: norm_shape {
    guard block == 8 || block == 16 else {
      invariantFailure("normalizations take blocks of 8 or 16 channels, not \(block)")
    }
    return norm_shape(
      block: Int32(block), channels: Int32(paddedChannels), used: Int32(shape.channels), positions: Int32(positions))
  }
}
