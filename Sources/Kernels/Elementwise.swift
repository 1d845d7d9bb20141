import CKernels
import Tensors

/// Small loops over flat arrays.
package enum Elementwise {
  /// sum = a + b; sum may be a or b.
  package static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into sum: UnsafeMutablePointer<Float>, count: Int
  ) {
    add_floats(Int32(InstructionSet.channelBlock), a, b, sum, count)
  }

  /// sum += x.
  package static func add(_ x: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>, count: Int) {
    add(sum, x, into: sum, count: count)
  }

  /// x = 1 / sqrt(x + added).
  ///
  /// - Parameter count: whole blocks of channels.
  package static func reciprocalRoots(_ x: UnsafeMutablePointer<Double>, adding added: Double, count: Int) {
    reciprocal_roots(Int32(InstructionSet.channelBlock), x, added, count)
  }

  /// Puts zeros into the padding of channels, where other kernels rely on them.
  package static func clearPadding(_ y: UnsafeMutablePointer<Float>, _ layout: ActivationLayout, samples: Int) {
    let used = layout.shape.channels % layout.block
    guard used > 0 else { return }
    let lastBlock = (layout.channelBlocks - 1) * layout.positions * layout.block
    for sample in 0..<samples {
      for position in 0..<layout.positions {
        let pixel = y + sample * layout.sampleStride + lastBlock + position * layout.block
        (pixel + used).update(repeating: 0, count: layout.block - used)
      }
    }
  }

  /// y = x * mask * scale, where the mask is 0 or 1.
  package static func mask(
    _ x: UnsafePointer<Float>, by mask: UnsafePointer<UInt8>, scale: Float, y: UnsafeMutablePointer<Float>, count: Int
  ) {
    for i in 0..<count { y[i] = x[i] * (Float(mask[i]) * scale) }
  }

  /// y = x * factor + term, or x * factor without a term. y may be x.
  package static func multiply(
    _ x: UnsafePointer<Float>, by factor: UnsafePointer<Float>, adding term: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, count: Int
  ) {
    if let term {
      for i in 0..<count { y[i] = x[i] * factor[i] + term[i] }
    } else {
      for i in 0..<count { y[i] = x[i] * factor[i] }
    }
  }

  /// y = x + residual, rectified if asked for. NaN stays NaN.
  package static func sum(
    _ x: UnsafePointer<Float>, _ residual: UnsafePointer<Float>, rectify: Bool, y: UnsafeMutablePointer<Float>,
    count: Int
  ) {
    if rectify {
      for i in 0..<count {
        let z = x[i] + residual[i]
        y[i] = z <= 0 ? 0 : z
      }
    } else {
      for i in 0..<count { y[i] = x[i] + residual[i] }
    }
  }

  /// Fills each row with the same `count` elements.
  package static func fillRows(
    _ y: UnsafeMutablePointer<Float>, with row: UnsafePointer<Float>, rows: Int, count: Int
  ) {
    for i in 0..<rows { (y + i * count).update(from: row, count: count) }
  }

  /// sums = the sum of the rows, each times the factors' row if there are any, or sums += it if it `adds`.
  package static func addRows(
    _ x: UnsafePointer<Float>, times factors: UnsafePointer<Float>? = nil, rows: Int, stride: Int,
    to sums: UnsafeMutablePointer<Float>, count: Int, adds: Bool
  ) {
    sum_rows(Int32(InstructionSet.channelBlock), x, factors, rows, stride, sums, count, adds ? 1 : 0)
  }

  /// Whether an element is infinite or not a number.
  package static func hasNonFinite(_ x: UnsafePointer<Float>, count: Int) -> Bool {
    // Any such element makes the sum of zeros x * 0 not a number.
    var sum = SIMD16<Float>()
    var i = 0
    while i + 16 <= count {
      sum += UnsafeRawPointer(x + i).loadUnaligned(as: SIMD16<Float>.self) * 0
      i += 16
    }
    var total = sum.sum()
    while i < count {
      total += x[i] * 0
      i += 1
    }
    return total.isNaN
  }
}
