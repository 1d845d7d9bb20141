import Tensors

/// Chosen samples of a data set in an order of their own: a batch, or one rank's part of it.
///
/// Any number of threads may read at once, each some of them. A worker reads its own, right before it computes on them: they
/// come into its own cache, and no further thread competes with workers for their processors.
package struct BatchSamples: Sendable {
  private let samples: LabeledSamples
  private let indices: ArraySlice<Int32>
  private let augmentation: Augmentation?
  private let seed: UInt64
  private let epoch: Int

  package var count: Int { indices.count }

  /// - Parameters:
  ///   - indices: which samples, by their numbers in the data set.
  ///   - augmentation: nil for samples as they are.
  ///   - seed: the augmentation's.
  ///   - epoch: the augmentation's.
  package init(
    _ samples: LabeledSamples, _ indices: ArraySlice<Int32>, augmentation: Augmentation? = nil, seed: UInt64 = 0,
    epoch: Int = 0
  ) {
    self.samples = samples
    self.indices = indices
    self.augmentation = augmentation
    self.seed = seed
    self.epoch = epoch
  }

  /// Writes some of them, normalized and augmented.
  ///
  /// - Parameters:
  ///   - range: which ones, numbered among these.
  ///   - pixels: [range, C, H, W].
  ///   - labels: one class per sample, [range].
  package func read(
    _ range: Range<Int>, pixels: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>
  ) {
    invariant(
      range.lowerBound >= 0 && range.upperBound <= count, "samples \(range) of a batch of \(count) are asked for")
    // An empty data set has no address.
    if range.isEmpty { return }
    let chosen = indices.dropFirst(range.lowerBound).prefix(range.count)
    samples.copy(chosen, to: pixels) { index in
      augmentation?.placement(seed: seed, epoch: epoch, index: index) ?? .asStored
    }
    samples.copyLabels(chosen, to: labels)
  }
}
