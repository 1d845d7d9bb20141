import Foundation

/// Random numbers that depend on a key and on nothing else: Philox4x32-10.
///
/// Whoever asks for the numbers of (seed, purpose, key) gets the same ones, on any worker and in any order. The generator
/// is a function of a counter; the key's three words and a running number are the counter, the seed is the cipher's key.
///
/// Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011, doi:10.1145/2063384.2063405.
public struct KeyedRandom: Sendable {
  /// What numbers are for. Two purposes never share a number.
  public enum Purpose: UInt32, Sendable {
    case initialization = 1
    case order, augmentation, dropout, glyph, data, noise
  }

  private var counter: SIMD4<UInt32>
  private let key: SIMD2<UInt32>
  private var block = SIMD4<UInt32>()
  private var used = 4

  /// - Parameters:
  ///   - first: for instance the epoch or the step.
  ///   - second: for instance the sample's index.
  ///   - third: for instance the layer's number, below 2^24.
  public init(seed: UInt64, _ purpose: Purpose, _ first: Int = 0, _ second: Int = 0, _ third: Int = 0) {
    key = SIMD2(truncatingIfNeeded: SIMD2<UInt64>(seed, seed >> 32))
    let third = UInt32(truncatingIfNeeded: third) & 0xFF_FFFF
    counter = SIMD4(
      0, UInt32(truncatingIfNeeded: first), UInt32(truncatingIfNeeded: second), purpose.rawValue << 24 | third)
  }

  /// 32 random bits.
  public mutating func next() -> UInt32 {
    if used == 4 {
      block = Self.philox(counter, key)
      counter.x &+= 1
      used = 0
    }
    defer { used += 1 }
    return block[used]
  }

  /// Uniform in [0, 1), a multiple of 2^-24.
  public mutating func uniform() -> Float { Float(next() >> 8) * 0x1p-24 }

  /// Uniform in `range`.
  public mutating func uniform(_ range: ClosedRange<Float>) -> Float {
    range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
  }

  /// Uniform in 0 ..< bound. The bias is below bound / 2^32.
  public mutating func integer(below bound: Int) -> Int {
    Int((UInt64(next()) * UInt64(bound)) >> 32)
  }

  /// Standard normal, by Box and Muller's transform.
  public mutating func normal() -> Float {
    let radius = (-2 * log(1 - Double(uniform()))).squareRoot()
    return Float(radius * cos(2 * Double.pi * Double(uniform())))
  }

  /// A permutation of 0 ..< count, by Fisher and Yates's shuffle.
  public mutating func permutation(of count: Int) -> [Int32] {
    var order = (0..<count).map(Int32.init)
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, integer(below: i + 1)) }
    return order
  }

  /// Ten rounds of Philox. The constants are the paper's.
  @inline(__always)
  package static func philox(_ counter: SIMD4<UInt32>, _ key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var c = counter
    var k = key
    for _ in 0..<10 {
      let p0 = UInt64(c.x) * 0xD251_1F53
      let p1 = UInt64(c.z) * 0xCD9E_8D57
      c = SIMD4(
        UInt32(p1 >> 32) ^ c.y ^ k.x, UInt32(truncatingIfNeeded: p1),
        UInt32(p0 >> 32) ^ c.w ^ k.y, UInt32(truncatingIfNeeded: p0))
      k &+= SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return c
  }
}
