import Datasets
import Tensors
import Testing

@Suite(.timeLimit(.minutes(1))) struct PrefetcherTests {
  static let shape = SampleShape(channels: 3, height: 7, width: 5)
  static let count = 53
  let samples = LabeledSamples(
    bytes: noise(count * shape.count), labels: (0..<count).map { Int32($0 * 31 % 10) }, shape: shape,
    normalization: Normalization(mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.4]))
  let augmentation = Augmentation(cropPadding: 2, horizontalFlip: true)

  private func prefetcher(capacity: Int, augmented: Bool = true) -> Prefetcher {
    Prefetcher(
      samples: samples, order: SampleOrder(count: Self.count, seed: 8, shuffle: true),
      augmentation: augmented ? augmentation : nil, seed: 8, capacity: capacity)
  }

  /// The samples at `positions`, copied one by one.
  private func direct(
    epoch: Int, _ positions: Range<Int>, augmented: Bool = true
  ) -> (pixels: [Float], labels: [Int32]) {
    let indices = SampleOrder(count: Self.count, seed: 8, shuffle: true).indices(epoch: epoch)[positions].map(Int.init)
    return (
      indices.flatMap {
        samples.floats(
          $0, placement: augmented ? augmentation.placement(seed: 8, epoch: epoch, index: $0) : .asStored)
      },
      indices.map { samples.labels[$0] }
    )
  }

  private func expect(
    _ batch: InputBatch, holds positions: Range<Int>, epoch: Int, augmented: Bool = true,
    location: SourceLocation = #_sourceLocation
  ) {
    let expected = direct(epoch: epoch, positions, augmented: augmented)
    #expect(batch.positions == positions, sourceLocation: location)
    #expect(batch.count == positions.count, sourceLocation: location)
    #expect(batch.labels == expected.labels, sourceLocation: location)
    // Outside of #expect, which would describe thousands of values.
    let isSame = batch.pixels.elements[..<(positions.count * Self.shape.count)].elementsEqual(expected.pixels)
    #expect(isSame, "pixels of \(positions) in epoch \(epoch)", sourceLocation: location)
  }

  // However an epoch is cut into batches, some of them empty, each sample looks the same.
  @Test(arguments: [[53], [1, 52], [20, 0, 20, 13], [0, 0, 53], .init(repeating: 1, count: 53)], [false, true])
  func batchesHoldWhatDirectCopyingGives(sizes: [Int], augmented: Bool) {
    let prefetcher = prefetcher(capacity: sizes.max()!, augmented: augmented)
    var batches: [(epoch: Int, positions: Range<Int>)] = []
    for epoch in 0..<3 {
      var start = 0
      for size in sizes {
        batches.append((epoch, start..<start + size))
        start += size
      }
    }
    prefetcher.prefetch(epoch: batches[0].epoch, positions: batches[0].positions)
    for step in batches.indices {
      if step + 1 < batches.count {
        prefetcher.prefetch(epoch: batches[step + 1].epoch, positions: batches[step + 1].positions)
      }
      expect(prefetcher.take(), holds: batches[step].positions, epoch: batches[step].epoch, augmented: augmented)
    }
  }

  @Test func aBatchIsValidUntilTheSecondTakeAfterIt() {
    let prefetcher = prefetcher(capacity: 10)
    for step in 0..<5 { prefetcher.prefetch(epoch: 0, positions: step * 10..<step * 10 + 10) }
    var previous = prefetcher.take()
    for step in 1..<5 {
      let batch = prefetcher.take()
      // All that may be filled by now has been, if the queue is quick: a rival for the previous batch's buffer.
      expect(batch, holds: step * 10..<step * 10 + 10, epoch: 0)
      expect(previous, holds: step * 10 - 10..<step * 10, epoch: 0)
      previous = batch
    }
  }

  @Test func theNextBatchIsFilledBeforeItIsTaken() async throws {
    let prefetcher = prefetcher(capacity: 5)
    for step in 0..<4 { prefetcher.prefetch(epoch: 0, positions: step * 5..<step * 5 + 5) }
    // The fourth batch goes to the first one's buffer as soon as the third is taken.
    let buffer = prefetcher.take().pixels
    _ = prefetcher.take()
    _ = prefetcher.take()
    let expected = direct(epoch: 0, 15..<20).pixels
    for _ in 0..<1_000 where Array(buffer.elements) != expected { try await Task.sleep(for: .milliseconds(10)) }
    #expect(Array(buffer.elements) == expected)
  }

  @Test func manyRequestsAheadAreServedInOrder() {
    let prefetcher = prefetcher(capacity: 7)
    for step in 0..<100 { prefetcher.prefetch(epoch: step / 7, positions: step % 7 * 7..<step % 7 * 7 + 7) }
    for step in 0..<100 {
      expect(prefetcher.take(), holds: step % 7 * 7..<step % 7 * 7 + 7, epoch: step / 7)
    }
  }

  @Test func aDroppedPrefetcherIsSafe() {
    for requests in 0..<40 {
      let prefetcher = prefetcher(capacity: 53)
      for _ in 0..<requests % 8 { prefetcher.prefetch(epoch: requests, positions: 0..<53) }
      if requests % 8 > 2 { _ = prefetcher.take() }
    }
  }
}
