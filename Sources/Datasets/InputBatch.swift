import Tensors

/// Samples ready to compute on: this process's part of a global batch.
///
/// Sendable because the prefetcher's queue writes it before, and nobody while, anyone reads it.
package final class InputBatch: @unchecked Sendable {
  /// [capacity, C, H, W], normalized; the first `count` samples are this batch's.
  package let pixels: AlignedBuffer<Float>
  /// One class per sample, [count].
  package private(set) var labels: [Int32] = []
  /// Where in the epoch the samples are.
  package private(set) var positions = 0..<0

  /// The number of samples.
  package var count: Int { positions.count }

  init(capacity: Int, shape: SampleShape) {
    pixels = AlignedBuffer(count: capacity * shape.count)
  }

  /// Fills the batch with the samples `indices`, which are at `positions` of `epoch`.
  func fill(
    from samples: LabeledSamples, indices: ArraySlice<Int32>, positions: Range<Int>,
    augmentation: (_ index: Int) -> Placement
  ) {
    self.positions = positions
    labels.removeAll(keepingCapacity: true)
    var destination = pixels.start
    for index in indices.lazy.map(Int.init) {
      samples.copy(index, placement: augmentation(index), to: destination)
      labels.append(samples.labels[index])
      destination += samples.shape.count
    }
  }
}
