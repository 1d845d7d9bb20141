import Kernels
import Support
import Tensors
import Testing

/// Rounding to bf16 against its definition: the nearest of two neighbours, by distances in Double.
@Suite struct BFloat16Tests {
  /// Of the two bf16 numbers around x, the nearer; of two as near, the one whose last bit is 0.
  private func nearest(_ x: Float) -> Float {
    if !x.isFinite { return x }
    let below = x.bitPattern & 0xFFFF_0000, above = below + 0x1_0000
    // An infinity stands where the next number would be.
    func value(_ bits: UInt32) -> Double {
      bits & 0x7F80_0000 == 0x7F80_0000 ? (x < 0 ? -0x1p128 : 0x1p128) : Double(Float(bitPattern: bits))
    }
    let (toBelow, toAbove) = (abs(Double(x) - value(below)), abs(Double(x) - value(above)))
    let isBelow = toBelow < toAbove || (toBelow == toAbove && below & 0x1_0000 == 0)
    return Float(bitPattern: isBelow ? below : above)
  }

  /// Every bf16 number, and what lies close above it, half-way to the next and close below that: subnormals, infinities
  /// and NaN among them.
  private let samples: [Float] = (0...UInt32(UInt16.max)).flatMap { upper in
    [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF].map { Float(bitPattern: upper << 16 | $0) }
  }

  private func buffer(_ values: [Float]) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: values.count)
    buffer.start.update(from: values, count: values.count)
    return buffer
  }

  /// Whether subnormal numbers become 0, as by processors that have an instruction for this.
  private var flushes: Bool {
    let y = buffer([Float.leastNormalMagnitude / 2])
    BFloat16.round(y.start, to: y.start, count: 1)
    return y.start[0] == 0
  }

  private func agree(_ found: Float, _ x: Float, _ flushes: Bool) -> Bool {
    if x.isSubnormal, flushes { return found.bitPattern == x.bitPattern & 0x8000_0000 }
    return x.isNaN ? found.isNaN && found.bitPattern & 0xFFFF == 0 : found.bitPattern == nearest(x).bitPattern
  }

  @Test func everyNeighbourhood() {
    let (x, y) = (buffer(samples), buffer(samples))
    BFloat16.round(x.start, to: y.start, count: samples.count)
    let flushes = flushes
    let wrong = samples.indices.first { !agree(y.start[$0], samples[$0], flushes) }
    #expect(wrong == nil, "\(samples[wrong ?? 0]) became \(y.start[wrong ?? 0])")
  }

  /// What is kept and expanded is what was rounded, and nothing beyond the end is touched.
  @Test(arguments: [0, 1, 7, 8, 9, 15, 16, 17, 31, 100]) func keptAndExpanded(count: Int) {
    let values = LayerRun.random(count, number: 0)
    let mark: UInt16 = 0x1234
    for isInPlace in [true, false] {
      let (x, y) = (buffer(values + [9.9]), buffer(values + [9.9]))
      let kept = AlignedBuffer<UInt16>(count: count + 1)
      kept.start[count] = mark
      if isInPlace {
        BFloat16.round(x.start, keeping: kept.start, count: count)
      } else {
        BFloat16.keep(x.start, in: kept.start, count: count)
      }
      BFloat16.expand(kept.start, to: y.start, count: count)
      for i in 0..<count {
        #expect(y.start[i] == nearest(values[i]))
        #expect(x.start[i] == (isInPlace ? nearest(values[i]) : values[i]))
      }
      #expect(kept.start[count] == mark && x.start[count] == 9.9 && y.start[count] == 9.9)
    }
  }
}
