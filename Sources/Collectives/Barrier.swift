import CPlatform
import Foundation
import Synchronization

/// The barrier was poisoned: another thread failed and will not come. Not the error to report; that one is elsewhere.
package struct PoisonedBarrier: Error {}

/// A meeting point of a fixed number of threads: spin, then yield the processor, then sleep.
///
/// Spinning meets in 0.1 us, waking a sleeper takes 30 us or more, so waiting threads stay awake as long as there are CPUs
/// for all of them. They soon yield between looks, which costs nothing on an idle CPU and lets a late thread, or another
/// program's, get on where there is none. A thread that fails poisons the barrier; all that wait or come later throw
/// instead of waiting forever.
package final class Barrier: Sendable {
  /// How long a waiting thread stays awake.
  package enum Patience: Sendable {
    /// There is a CPU for every thread.
    case dedicated
    /// Threads outnumber CPUs: whoever stays awake keeps another from arriving.
    case oversubscribed

    /// Looks some 10 ns apart.
    var spins: Int { self == .dedicated ? 2_000 : 20 }
    /// Looks with a yield between them.
    var yields: Int { self == .dedicated ? 5_000 : 20 }
  }

  private let count: Int
  private let patience: Patience
  private let arrived = Atomic<Int>(0)
  private let generation = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let poisoned = Atomic<Bool>(false)
  private let wakeUp = NSCondition()

  package init(count: Int, patience: Patience) {
    self.count = count
    self.patience = patience
  }

  /// Returns when all threads have called it.
  ///
  /// What a thread wrote before it arrived, every thread can read after it leaves.
  ///
  /// - Throws: `PoisonedBarrier` if a thread has failed.
  package func wait() throws(PoisonedBarrier) {
    let mine = generation.load(ordering: .acquiring)
    if arrived.add(1, ordering: .acquiringAndReleasing).newValue == count {
      arrived.store(0, ordering: .relaxed)
      generation.add(1, ordering: .sequentiallyConsistent)
      wakeSleepers()
    } else {
      look(atMost: patience.spins + patience.yields) { isOpen(mine) }
      if !isOpen(mine) { sleep(until: mine) }
    }
    if poisoned.load(ordering: .acquiring) { throw PoisonedBarrier() }
  }

  /// Returns when another thread has made a condition true that nobody is woken up for.
  ///
  /// - Throws: `PoisonedBarrier` if a thread has failed.
  package func wait(until condition: () -> Bool) throws(PoisonedBarrier) {
    func isOver() -> Bool { condition() || poisoned.load(ordering: .acquiring) }
    look(atMost: patience.spins + patience.yields, until: isOver)
    while !isOver() { usleep(50) }
    if poisoned.load(ordering: .acquiring) { throw PoisonedBarrier() }
  }

  private func look(atMost count: Int, until condition: () -> Bool) {
    var looks = 0
    while looks < count, !condition() {
      if looks < patience.spins { platform_spin_hint() } else { sched_yield() }
      looks += 1
    }
  }

  /// Lets every waiting thread, and every one that comes, throw `PoisonedBarrier`.
  package func poison() {
    poisoned.store(true, ordering: .sequentiallyConsistent)
    wakeSleepers()
  }

  private func isOpen(_ mine: Int) -> Bool {
    generation.load(ordering: .acquiring) != mine || poisoned.load(ordering: .acquiring)
  }

  private func sleep(until mine: Int) {
    wakeUp.lock()
    // The one who opens the barrier looks at `sleepers` after it has counted `generation` up, and we the other way
    // round: one of the two sees the other.
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while generation.load(ordering: .sequentiallyConsistent) == mine, !poisoned.load(ordering: .sequentiallyConsistent)
    {
      wakeUp.wait()
    }
    sleepers.subtract(1, ordering: .relaxed)
    wakeUp.unlock()
  }

  private func wakeSleepers() {
    guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
    wakeUp.lock()
    wakeUp.broadcast()
    wakeUp.unlock()
  }
}
