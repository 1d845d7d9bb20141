import CKernels

/// bf16: a Float's upper half, with its sign, its exponent and 7 bits of its fraction. The product of two is exact in Float.
///
/// Rounding is to nearest, ties to even; NaN stays NaN, and what is too large becomes infinite. All of it is elementwise.
/// Source: Kalamkar et al. 2019, arXiv:1905.12322.
package enum BFloat16 {
  /// y = x rounded; y may be x.
  package static func round(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, count: Int) {
    bfloat16_round(Int32(InstructionSet.channelBlock), x, y, nil, count)
  }

  /// Rounds x in place, and keeps the upper halves.
  package static func round(_ x: UnsafeMutablePointer<Float>, keeping kept: UnsafeMutablePointer<UInt16>, count: Int) {
    bfloat16_round(Int32(InstructionSet.channelBlock), x, x, kept, count)
  }

  /// Keeps the upper halves of x rounded, and leaves x as it is.
  package static func keep(_ x: UnsafePointer<Float>, in kept: UnsafeMutablePointer<UInt16>, count: Int) {
    bfloat16_round(Int32(InstructionSet.channelBlock), x, nil, kept, count)
  }

  /// y = what was kept.
  package static func expand(_ kept: UnsafePointer<UInt16>, to y: UnsafeMutablePointer<Float>, count: Int) {
    bfloat16_expand(Int32(InstructionSet.channelBlock), kept, y, count)
  }
}
