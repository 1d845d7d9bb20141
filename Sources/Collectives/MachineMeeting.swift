import Synchronization
import Tensors

/// How the ranks of a machine meet in memory that they share: a barrier, and an all-gather of a few bytes.
///
/// Each rank counts the meetings it has come to, in a cache line of its own, and looks at the others' until they have come
/// as often. That takes a fraction of a microsecond, where a message takes several; and every worker waits for the few
/// hundred bytes of a batch norm's sums.
///
/// Sendable: belongs to the one thread of its rank that talks to others.
package final class MachineMeeting: @unchecked Sendable {
  /// The most bytes that a rank can hand over.
  package static let capacity = 32 << 10
  /// What each rank gives of the shared memory: its count, and room for what it hands over at even and at odd meetings.
  package static let regionBytes = line + 2 * capacity
  private static let line = 64

  private let memory: SharedMemory
  /// This rank's number among the machine's.
  private let index: Int
  private let patience: Barrier.Patience
  /// The meetings that this rank has come to.
  private var count = 0

  package init(_ memory: SharedMemory, index: Int, patience: Barrier.Patience) {
    self.memory = memory
    self.index = index
    self.patience = patience
  }

  /// Returns when every rank has called it. What one wrote before, all can read after.
  package func meet() {
    count += 1
    let expected = count
    counter(of: index).pointee.store(expected, ordering: .releasing)
    for rank in memory.regions.indices where rank != index {
      let counter = counter(of: rank)
      patience.wait { counter.pointee.load(ordering: .acquiring) >= expected }
    }
  }

  /// Completes `bytes`, one part per rank, from the part that each rank has filled in.
  ///
  /// - Parameter counts: the bytes of each rank's part, at most `capacity`.
  package func allGather(_ bytes: UnsafeMutableRawBufferPointer, counts: [Int]) {
    // Whoever came to the last meeting has read what was handed over at the one before it, in the same room.
    let room = Self.line + count % 2 * Self.capacity
    forEachPart(bytes, counts) { rank, part in
      if rank == index { (memory.regions[rank] + room).copyMemory(from: part, byteCount: counts[rank]) }
    }
    meet()
    forEachPart(bytes, counts) { rank, part in
      if rank != index { part.copyMemory(from: memory.regions[rank] + room, byteCount: counts[rank]) }
    }
  }

  private func forEachPart(
    _ bytes: UnsafeMutableRawBufferPointer, _ counts: [Int], _ body: (_ rank: Int, UnsafeMutableRawPointer) -> Void
  ) {
    guard var part = bytes.baseAddress else { return }
    for (rank, count) in counts.enumerated() {
      body(rank, part)
      part += count
    }
  }

  /// Zero in new memory, as an atomic's is.
  private func counter(of rank: Int) -> UnsafeMutablePointer<Atomic<Int>> {
    memory.regions[rank].assumingMemoryBound(to: Atomic<Int>.self)
  }
}
