import Tensors

/// One register-sized block of channels at one pixel.
///
/// Kernels are written once for blocks of 8 and of 16 channels and specialized for both.
protocol ChannelVector: SIMD where Scalar == Float {}
extension SIMD8<Float>: ChannelVector {}
extension SIMD16<Float>: ChannelVector {}

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
