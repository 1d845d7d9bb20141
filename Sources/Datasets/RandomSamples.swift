import Dispatch
import Tensors

extension Dataset {
  /// Training samples of noise with random labels, for measuring and testing.
  ///
  /// Values have mean 0 and variance 1: the sum of a random word's four bytes, nearly normal (Irwin and Hall's
  /// distribution). At most 32 MiB are stored: of large samples there are fewer different ones, which repeat together
  /// with their labels, so that even these can be learned by heart.
  ///
  /// - Throws: `LockstepError` if the shape or the number of classes makes no sense.
  package static func random(shape: SampleShape, classCount: Int, count: Int = 2_048, seed: UInt64) throws -> Dataset {
    try check(classCount: classCount)
    guard shape.channels > 0, shape.height > 0, shape.width > 0 else {
      throw LockstepError("random cannot make samples \(shape): every extent must be above 0")
    }
    let storedCount = min(count, max(1, (1 << 23) / shape.count))
    let values: [Float] = filledConcurrently(count: storedCount, each: shape.count) { sample, values in
      var random = KeyedRandom(seed: seed, .data, 0, sample)
      for i in values.indices { values[i] = random.roughlyNormal() }
    }
    var random = KeyedRandom(seed: seed, .data, 1)
    let labels = (0..<storedCount).map { _ in Int32(random.integer(below: classCount)) }
    let train = LabeledSamples(
      pixels: .floats(values), labels: (0..<count).map { labels[$0 % storedCount] }, shape: shape,
      storedCount: storedCount)
    return Dataset(name: "random", classCount: classCount, train: train, test: nil, augmentation: .none)
  }
}

extension KeyedRandom {
  /// Mean 0, variance 1, from -3.5 to 3.5: one word's four bytes, each of variance (256^2 - 1)/12, summed.
  mutating func roughlyNormal() -> Float {
    let word = next()
    let pairs = (word & 0xFF_00FF) + (word >> 8 & 0xFF_00FF)
    return (Float((pairs & 0xFFFF) + (pairs >> 16)) - 510) * (1 / 147.80054)
  }
}

/// An array of `count` runs of `each` elements, run i filled by `fill(i, run)`, several at a time.
func filledConcurrently<Element: BitwiseCopyable & Sendable>(
  count: Int, each: Int, _ fill: @Sendable (_ index: Int, _ run: UnsafeMutableBufferPointer<Element>) -> Void
) -> [Element] {
  Array(unsafeUninitializedCapacity: count * each) { elements, initializedCount in
    // The runs are disjoint: each index writes its own.
    nonisolated(unsafe) let elements = elements
    DispatchQueue.concurrentPerform(iterations: count) { index in
      fill(index, UnsafeMutableBufferPointer(rebasing: elements[index * each..<(index + 1) * each]))
    }
    initializedCount = count * each
  }
}
