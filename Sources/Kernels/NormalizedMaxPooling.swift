import CKernels

/// Batch norm's second half and the max pooling behind it, a rectifier between them or not, in one pass each way.
///
/// x: [n, C/b, H, W, b], y: [n, C/b, H', W', b]; coefficients: padded C.
package enum NormalizedMaxPooling {
  /// The most elements of a window.
  package static var mostElements: Int { Int(NO_ELEMENT) }

  /// y = the largest element under the kernel of (x - mean) * scale + bias, rectified if asked for. NaN stays NaN.
  ///
  /// - Parameter largest: where the numbers of those elements within their windows go, if they are wanted; shaped as y.
  package static func forward(
    _ x: Stored, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>, bias: UnsafePointer<Float>, rectify: Bool,
    y: Stored, largest: UnsafeMutablePointer<UInt8>?, _ geometry: PoolingGeometry, samples: Int
  ) {
    withUnsafePointer(to: geometry.cShape) {
      normalize_and_pool($0, x.place, mean, scale, bias, rectify ? 1 : 0, y.place, largest, Int32(samples))
    }
  }

  /// dz = dy where the maximum was, the first of equals, and positive if it was rectified, and adds sum(dz) and
  /// sum(dz (x - mean)) of every channel to the rows of `sums`.
  ///
  /// - Parameters:
  ///   - dy: rounded to bf16 first if x is 16-bit numbers, as is dz.
  ///   - sums: two rows of padded C.
  package static func addGradientSums(
    of dy: Stored, largest: UnsafePointer<UInt8>, x: Stored, mean: UnsafePointer<Float>, dz: Stored,
    _ geometry: PoolingGeometry, samples: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    withUnsafePointer(to: geometry.cShape) {
      pooled_gradient_sums($0, dy.place, largest, x.place, mean, dz.place, Int32(samples), sums)
    }
  }
}
