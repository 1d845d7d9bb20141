import CKernels
import Tensors

/// Batch norm's two elementwise passes. Activations: [n, C/b, P, b]; coefficients: padded C.
///
/// If x is 16-bit numbers, results are rounded to bf16.
package enum Normalize {
  /// y = (x - mean) * scale + bias (+ residual), or a function of that; 0 where channels are padding. NaN stays NaN.
  ///
  /// The mean is subtracted first, so that a constant channel gives its bias exactly.
  package static func forward(
    _ x: Stored, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>, bias: UnsafePointer<Float>, residual: Stored?,
    activation: Activation?, y: Stored, _ layout: ActivationLayout, samples: Int
  ) {
    withUnsafePointer(to: layout.normShape) {
      normalize_forward(
        $0, activation.inC, x.place, mean, scale, bias, residual.place, y.place, Int32(samples))
    }
  }

  /// dx = scale * (dz - meanGradient - (x - mean) * slope). dx may be dz.
  package static func backward(
    _ dz: Stored, x: Stored, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>,
    meanGradient: UnsafePointer<Float>, slope: UnsafePointer<Float>, dx: Stored,
    _ layout: ActivationLayout, samples: Int
  ) {
    withUnsafePointer(to: layout.normShape) {
      normalize_backward($0, dz.place, x.place, mean, scale, meanGradient, slope, 1, dx.place, Int32(samples))
    }
  }

  /// dx = scale * dz - shift - (x - mean) * slope, for means that have the channels' weights in them. dx may be dz.
  package static func backward(
    _ dz: Stored, x: Stored, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>,
    shift: UnsafePointer<Float>, slope: UnsafePointer<Float>, dx: Stored,
    _ layout: ActivationLayout, samples: Int
  ) {
    withUnsafePointer(to: layout.normShape) {
      normalize_backward($0, dz.place, x.place, mean, scale, shift, slope, 0, dx.place, Int32(samples))
    }
  }

  /// dx = scale * dx: statistics that do not depend on the batch.
  package static func backwardFrozen(
    _ dx: UnsafeMutablePointer<Float>, scale: UnsafePointer<Float>, _ layout: ActivationLayout, samples: Int
  ) {
    let plane = layout.positions * layout.block
    for start in stride(from: 0, to: samples * layout.sampleStride, by: plane) {
      let channel = start / plane % layout.channelBlocks * layout.block
      for p in 0..<plane { dx[start + p] *= scale[channel + p % layout.block] }
    }
  }
}
