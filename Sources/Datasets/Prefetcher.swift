import Dispatch
import Tensors

/// Fills the next batches while the current one is computed on.
///
///     prefetcher.prefetch(epoch: 0, positions: first)
///     loop {
///       prefetcher.prefetch(epoch:positions:)   // the next step's, filled while this step computes
///       let batch = prefetcher.take()
///     }
///
/// What a batch holds depends on (seed, epoch, positions) alone. Any number of batches may be requested ahead: requests
/// beyond the free buffers wait without blocking anyone, and are begun by the `take` that frees a buffer. One thread
/// requests and takes; dropping the prefetcher with requests under way is safe, since the queue owns what it fills.
package final class Prefetcher {
  private struct Request {
    let epoch: Int
    let positions: Range<Int>
  }

  /// A batch being computed on, the one before it, which is still valid, and one being filled.
  private static let bufferCount = 3

  private let source: Source
  private let capacity: Int
  private let buffers: [(batch: InputBatch, filling: DispatchGroup)]
  private let queue = DispatchQueue(label: "lockstep.prefetch", qos: .userInitiated)
  private var waiting: [Request] = []
  private var requestCount = 0
  private var takenCount = 0

  /// - Parameters:
  ///   - order: which sample is where; its count is the samples'.
  ///   - augmentation: nil for samples as they are.
  ///   - seed: the augmentation's.
  ///   - capacity: the most samples that one batch will have.
  package init(
    samples: LabeledSamples, order: SampleOrder, augmentation: Augmentation?, seed: UInt64, capacity: Int
  ) {
    invariant(order.count == samples.count, "an order of \(order.count) for \(samples.count) samples")
    source = Source(samples: samples, order: order, augmentation: augmentation, seed: seed)
    self.capacity = capacity
    buffers = (0..<Self.bufferCount).map { _ in
      (InputBatch(capacity: capacity, shape: samples.shape), DispatchGroup())
    }
  }

  /// Requests the samples at `positions` of the epoch's order; possibly none. Returns at once.
  package func prefetch(epoch: Int, positions: Range<Int>) {
    invariant(
      positions.count <= capacity && positions.lowerBound >= 0 && positions.upperBound <= source.order.count,
      "positions \(positions) of \(source.order.count) do not fit a batch of \(capacity)")
    waiting.append(Request(epoch: epoch, positions: positions))
    requestCount += 1
    beginFilling()
  }

  /// Waits for the oldest batch requested and not yet taken. It stays valid until the second `take` after this one.
  package func take() -> InputBatch {
    invariant(takenCount < requestCount, "batch \(takenCount) was taken but not requested")
    let (batch, filling) = buffers[takenCount % Self.bufferCount]
    takenCount += 1
    beginFilling()
    filling.wait()
    return batch
  }

  /// Begins the waiting requests that have a buffer.
  ///
  /// Request r fills the buffer of batch r-3, which is valid until take r-1: it may begin once r takes have begun. The
  /// take of r comes later and so never waits for a request that waits for it.
  private func beginFilling() {
    while let request = waiting.first {
      let number = requestCount - waiting.count
      guard number < Self.bufferCount || takenCount >= number else { return }
      waiting.removeFirst()
      let (batch, filling) = buffers[number % Self.bufferCount]
      queue.async(group: filling) { [source] in
        source.fill(batch, epoch: request.epoch, positions: request.positions)
      }
    }
  }
}

/// Where the batches come from. Sendable because its only state is touched on the prefetcher's serial queue.
private final class Source: @unchecked Sendable {
  let order: SampleOrder
  private let samples: LabeledSamples
  private let augmentation: Augmentation?
  private let seed: UInt64
  private var current: (epoch: Int, indices: [Int32])?

  init(samples: LabeledSamples, order: SampleOrder, augmentation: Augmentation?, seed: UInt64) {
    self.samples = samples
    self.order = order
    self.augmentation = augmentation
    self.seed = seed
  }

  func fill(_ batch: InputBatch, epoch: Int, positions: Range<Int>) {
    if current?.epoch != epoch { current = (epoch, order.indices(epoch: epoch)) }
    batch.fill(from: samples, indices: current!.indices[positions], positions: positions) { index in
      augmentation?.placement(seed: seed, epoch: epoch, index: index) ?? .asStored
    }
  }
}
