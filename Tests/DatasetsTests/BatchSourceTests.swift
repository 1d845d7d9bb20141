import Datasets
import Dispatch
import Tensors
import Testing

@Suite(.timeLimit(.minutes(1))) struct BatchSourceTests {
  static let shape = SampleShape(channels: 3, height: 7, width: 5)
  static let count = 53
  let samples = LabeledSamples(
    bytes: noise(count * shape.count), labels: (0..<count).map { Int32($0 * 31 % 10) }, shape: shape,
    normalization: Normalization(mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.4]))
  let augmentation = Augmentation(cropPadding: 2, horizontalFlip: true)

  private struct Read: Equatable {
    var pixels: [Float]
    var labels: [Int32]
  }

  private func source(augmented: Bool) -> BatchSource {
    BatchSource(
      samples, order: SampleOrder(count: Self.count, seed: 8, shuffle: true),
      augmentation: augmented ? augmentation : nil, seed: 8)
  }

  /// The samples at `positions`, copied one by one.
  private func direct(epoch: Int, _ positions: Range<Int>, augmented: Bool) -> Read {
    let indices = SampleOrder(count: Self.count, seed: 8, shuffle: true).indices(epoch: epoch)[positions].map(Int.init)
    return Read(
      pixels: indices.flatMap {
        samples.floats(
          $0, placement: augmented ? augmentation.placement(seed: 8, epoch: epoch, index: $0) : .asStored)
      }, labels: indices.map { samples.labels[$0] })
  }

  /// What several threads at once read, each a run of the batch into memory of its own.
  private func read(_ batch: BatchSamples, cuts: [Int]) -> Read {
    let bounds = [0] + cuts + [batch.count]
    let parts = Locked([Read](repeating: Read(pixels: [], labels: []), count: bounds.count - 1))
    DispatchQueue.concurrentPerform(iterations: bounds.count - 1) { part in
      let range = bounds[part]..<bounds[part + 1]
      let pixels = AlignedBuffer<Float>(count: range.count * Self.shape.count)
      let labels = AlignedBuffer<Int32>(count: range.count)
      batch.read(range, pixels: pixels.start, labels: labels.start)
      let read = Read(pixels: Array(pixels.elements), labels: Array(labels.elements))
      parts.withLock { $0[part] = read }
    }
    return parts.withLock { parts in Read(pixels: parts.flatMap(\.pixels), labels: parts.flatMap(\.labels)) }
  }

  /// However an epoch is cut into batches, some of them empty, and each batch among threads, a sample looks the same.
  @Test(arguments: [[53], [1, 52], [20, 0, 20, 13], [0, 0, 53], .init(repeating: 1, count: 53)], [false, true])
  func batchesHoldWhatDirectCopyingGives(sizes: [Int], augmented: Bool) {
    let source = source(augmented: augmented)
    for epoch in 0..<3 {
      var start = 0
      for size in sizes {
        let positions = start..<start + size
        let batch = source.samples(epoch: epoch, positions: positions)
        #expect(batch.count == size)
        let expected = direct(epoch: epoch, positions, augmented: augmented)
        for cuts in [[], [size / 3], [size / 4, size / 4, size / 2]] {
          // Outside of #expect, which would describe thousands of values.
          let isSame = read(batch, cuts: cuts) == expected
          #expect(isSame, "\(positions) in epoch \(epoch), cut at \(cuts)")
        }
        start += size
      }
    }
  }

  /// A batch stays what it was when others have been asked for, of other epochs too.
  @Test func batchesStayWhatTheyAre() {
    let source = source(augmented: true)
    let batches = (0..<4).map { source.samples(epoch: $0, positions: 10 * $0..<10 * $0 + 10) }
    for (epoch, batch) in batches.enumerated() {
      let isSame =
        read(batch, cuts: [5]) == direct(epoch: epoch, 10 * epoch..<10 * epoch + 10, augmented: true)
      #expect(isSame, "epoch \(epoch)")
    }
  }

  /// Chosen samples may repeat, in any order, without augmentation.
  @Test func chosenSamplesAreReadAsStored() {
    let chosen: [Int32] = [52, 0, 7, 7, 31]
    let read = read(BatchSamples(samples, chosen[...]), cuts: [2])
    let isSame =
      read
      == Read(
        pixels: chosen.flatMap { samples.floats(Int($0)) }, labels: chosen.map { samples.labels[Int($0)] })
    #expect(isSame)
  }
}
