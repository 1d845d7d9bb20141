import Tensors

/// One block of channels at one pixel: one AVX-512 register, or one of AVX2.
///
/// Kernels are written once for blocks of 8 and of 16 channels and specialized for both. Comparisons are spelled as
/// integer arithmetic on the bits, because Swift's SIMD masks are compared lane by lane.
protocol ChannelVector: SIMD where Scalar == Float {
  /// Each lane's magnitude.
  var magnitude: Self { get }
  /// The lanes at which `condition`, which is not negative, is not 0; 0 elsewhere.
  func selected(by condition: Self) -> Self
}

extension ChannelVector {
  /// max(x, 0) = (x + |x|) / 2, exactly. Unlike a comparison it keeps NaN, so that a diverged run shows in the loss.
  @inline(__always)
  var rectified: Self { (self + magnitude) * 0.5 }
}

extension SIMD8<Float>: ChannelVector {
  private typealias Bits = SIMD8<Int32>

  @inline(__always)
  var magnitude: Self { unsafeBitCast(unsafeBitCast(self, to: Bits.self) & Bits(repeating: .max), to: Self.self) }

  @inline(__always)
  func selected(by condition: Self) -> Self {
    let mask = (Bits() &- unsafeBitCast(condition, to: Bits.self)) &>> Bits(repeating: 31)
    return unsafeBitCast(unsafeBitCast(self, to: Bits.self) & mask, to: Self.self)
  }
}

extension SIMD16<Float>: ChannelVector {
  private typealias Bits = SIMD16<Int32>

  @inline(__always)
  var magnitude: Self { unsafeBitCast(unsafeBitCast(self, to: Bits.self) & Bits(repeating: .max), to: Self.self) }

  @inline(__always)
  func selected(by condition: Self) -> Self {
    let mask = (Bits() &- unsafeBitCast(condition, to: Bits.self)) &>> Bits(repeating: 31)
    return unsafeBitCast(unsafeBitCast(self, to: Bits.self) & mask, to: Self.self)
  }
}

extension UnsafePointer<Float> {
  /// The block that starts at element `index`.
  @inline(__always)
  func block<V: ChannelVector>(_ index: Int, as: V.Type = V.self) -> V {
    UnsafeRawPointer(self + index).loadUnaligned(as: V.self)
  }
}

extension UnsafeMutablePointer<Float> {
  @inline(__always)
  func block<V: ChannelVector>(_ index: Int, as: V.Type = V.self) -> V {
    UnsafeRawPointer(self + index).loadUnaligned(as: V.self)
  }

  @inline(__always)
  func setBlock<V: ChannelVector>(_ index: Int, _ value: V) {
    UnsafeMutableRawPointer(self + index).storeBytes(of: value, as: V.self)
  }
}

/// Adds the block's lanes to the Doubles that start at `sums`.
@inline(__always)
func flush<V: ChannelVector>(_ block: V, to sums: UnsafeMutablePointer<Double>) {
  for lane in 0..<V.scalarCount { sums[lane] += Double(block[lane]) }
}
