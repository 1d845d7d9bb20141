import Tensors

/// Cuts epochs into batches.
///
/// What a batch holds depends on (seed, epoch, positions) alone.
package final class BatchSource {
  private let samples: LabeledSamples
  private let order: SampleOrder
  private let augmentation: Augmentation?
  private let seed: UInt64
  private var current: (epoch: Int, indices: [Int32])?

  /// - Parameters:
  ///   - order: which sample is where; its count is the samples'.
  ///   - augmentation: nil for samples as they are.
  ///   - seed: the augmentation's.
  package init(_ samples: LabeledSamples, order: SampleOrder, augmentation: Augmentation?, seed: UInt64) {
    invariant(order.count == samples.count, "an order of \(order.count) for \(samples.count) samples")
    self.samples = samples
    self.order = order
    self.augmentation = augmentation
    self.seed = seed
  }

  /// The samples at `positions` of the epoch's order; possibly none.
  package func samples(epoch: Int, positions: Range<Int>) -> BatchSamples {
    invariant(
      positions.lowerBound >= 0 && positions.upperBound <= order.count, "positions \(positions) of \(order.count)")
    if current?.epoch != epoch { current = (epoch, order.indices(epoch: epoch)) }
    return BatchSamples(
      samples, current!.indices[positions], augmentation: augmentation, seed: seed, epoch: epoch)
  }
}
