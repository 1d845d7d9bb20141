import Synchronization
import Tensors

/// Those of a thread's tasks that others may steal, by their numbers. The thread takes them from the front, one after another;
/// threads that have none of their own left take the last of them.
///
/// Only in the round that it is in itself can a thread steal; rounds in which nothing may be stolen need no queue. Work
/// stealing: Blumofe, Leiserson 1999, doi:10.1145/324133.324234.
package final class StealingQueue: Sendable {
  /// In one word, so that one atomic operation takes a task.
  private struct State: RawRepresentable, AtomicRepresentable {
    var round: UInt32
    /// The owner's next task, and the end of those that nobody has.
    var next, end: UInt16

    init(round: UInt32, _ tasks: Range<Int>) {
      self.round = round
      (next, end) = (UInt16(tasks.lowerBound), UInt16(tasks.upperBound))
    }

    init(rawValue: UInt64) {
      round = UInt32(rawValue >> 32)
      (next, end) = (UInt16(truncatingIfNeeded: rawValue >> 16), UInt16(truncatingIfNeeded: rawValue))
    }

    var rawValue: UInt64 { UInt64(round) << 32 | UInt64(next) << 16 | UInt64(end) }
  }

  private let state = Atomic(State(round: 0, 0..<0))
  /// How many stolen tasks are done.
  private let returned = Atomic<Int>(0)

  package init() {}

  /// Begins a round, when all of the last one's tasks are done.
  ///
  /// - Parameter round: any number but those of rounds that others may still be in.
  package func open(_ tasks: Range<Int>, round: UInt32) {
    invariant(tasks.upperBound <= UInt16.max, "a queue of tasks up to \(tasks.upperBound)")
    returned.store(0, ordering: .relaxed)
    // What the owner has written before is there for whoever steals.
    state.store(State(round: round, tasks), ordering: .releasing)
  }

  /// The owner's next task; nil if none is left.
  package func next() -> Int? {
    take { state in
      state.next += 1
      return Int(state.next) - 1
    }
  }

  /// Takes a task for another thread, which then computes it and calls `giveBack`; nil if none is left of that round.
  package func steal(round: UInt32) -> Int? {
    take { state in
      guard state.round == round else { return nil }
      state.end -= 1
      return Int(state.end)
    }
  }

  private func take(_ body: (inout State) -> Int?) -> Int? {
    var old = state.load(ordering: .acquiring)
    while old.next < old.end {
      var new = old
      guard let task = body(&new) else { return nil }
      let (exchanged, found) = state.weakCompareExchange(
        expected: old, desired: new, successOrdering: .acquiringAndReleasing, failureOrdering: .acquiring)
      if exchanged { return task }
      old = found
    }
    return nil
  }

  /// A stolen task is done.
  package func giveBack() { returned.add(1, ordering: .releasing) }

  /// The tasks, up to `end`, that others took, once they are done; called by the owner when it has none left.
  package func stolen(upTo end: Int, _ barrier: Barrier) throws(PoisonedBarrier) -> Range<Int> {
    let taken = Int(state.load(ordering: .relaxed).end)..<end
    try barrier.wait(until: { self.returned.load(ordering: .acquiring) == taken.count })
    return taken
  }
}
