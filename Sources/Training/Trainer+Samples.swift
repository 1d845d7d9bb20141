import Datasets
import Tensors

extension Trainer {
  /// Hands over chosen samples of a split as one batch, without augmentation: this rank's share of them.
  package func withSamples<Result>(
    _ indices: [Int], of split: LabeledSamples, _ body: (Batch) throws -> Result
  ) rethrows -> Result {
    let mine = indices[engine.samples(globalCount: indices.count)]
    let pixels = AlignedBuffer<Float>(count: max(1, mine.count) * split.shape.count)
    for (row, index) in mine.enumerated() { split.copy(index, to: pixels.start + row * split.shape.count) }
    let labels = mine.map { split.labels[$0] } + [0]  // A rank without samples has an address all the same.
    return try labels.withUnsafeBufferPointer { labels in
      try body(Batch(input: pixels.start, labels: labels.baseAddress!, globalCount: indices.count))
    }
  }
}
