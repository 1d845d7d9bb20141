import Synchronization
import Tensors

/// One thread's tasks of a round, numbered from 0. It takes them from the front, one after another; threads that have none
/// of their own left take the last of them.
///
/// Every thread of a team has a queue, and opens it once in every round; only tasks of the round that it is in itself can a
/// thread steal. Work stealing: Blumofe, Leiserson 1999, doi:10.1145/324133.324234.
package final class StealingQueue: Sendable {
  /// In one word, so that one atomic operation takes a task.
  private struct State: RawRepresentable, AtomicRepresentable {
    /// The round (modulo 2^16), the first task that may be stolen, the owner's next, the end of those nobody has.
    var fields: SIMD4<UInt16>

    init(_ fields: SIMD4<UInt16>) { self.fields = fields }
    init(rawValue: UInt64) { fields = unsafeBitCast(rawValue, to: SIMD4<UInt16>.self) }
    var rawValue: UInt64 { unsafeBitCast(fields, to: UInt64.self) }

    var round: UInt16 { fields.x }
    var firstStealable: UInt16 { fields.y }
    var next: UInt16 { fields.z }
    var end: UInt16 { fields.w }
  }

  private let state = Atomic(State(.zero))
  /// How many stolen tasks are done.
  private let returned = Atomic<Int>(0)

  package init() {}

  /// Begins the owner's next round, when all of its last one is done.
  ///
  /// - Parameter stealable: how many of the tasks, the last ones, others may take.
  package func open(count: Int, stealable: Int) {
    invariant(count <= UInt16.max, "a queue of \(count) tasks")
    returned.store(0, ordering: .relaxed)
    let round = state.load(ordering: .relaxed).round &+ 1
    // What the owner has written before is there for whoever steals.
    state.store(State([round, UInt16(count - stealable), 0, UInt16(count)]), ordering: .releasing)
  }

  /// The owner's next task; nil if none is left.
  package func next() -> Int? {
    take { state in
      guard state.next < state.end else { return nil }
      state.fields.z += 1
      return Int(state.next) - 1
    }
  }

  /// Takes a task of another queue for this queue's owner, who then computes it and calls `giveBack` there.
  package func steal(from other: StealingQueue) -> Int? {
    let round = state.load(ordering: .relaxed).round
    return other.take { state in
      guard state.round == round, max(state.next, state.firstStealable) < state.end else { return nil }
      state.fields.w -= 1
      return Int(state.end)
    }
  }

  private func take(_ body: (inout State) -> Int?) -> Int? {
    var old = state.load(ordering: .acquiring)
    while true {
      var new = old
      guard let task = body(&new) else { return nil }
      let (exchanged, found) = state.weakCompareExchange(
        expected: old, desired: new, successOrdering: .acquiringAndReleasing, failureOrdering: .acquiring)
      if exchanged { return task }
      old = found
    }
  }

  /// A stolen task is done.
  package func giveBack() { returned.add(1, ordering: .releasing) }

  /// The tasks, of `count`, that others took, once they are done; called by the owner when it has none left.
  package func stolen(of count: Int, _ barrier: Barrier) throws(PoisonedBarrier) -> Range<Int> {
    let taken = Int(state.load(ordering: .relaxed).end)..<count
    try barrier.wait(until: { self.returned.load(ordering: .acquiring) == taken.count })
    return taken
  }
}
