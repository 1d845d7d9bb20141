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
      patience.look { isOpen(mine) }
      if !isOpen(mine) { sleep(until: mine) }
    }
    if poisoned.load(ordering: .acquiring) { throw PoisonedBarrier() }
  }

  /// Returns when another thread has made a condition true that nobody is woken up for.
  ///
  /// - Throws: `PoisonedBarrier` if a thread has failed.
  package func wait(until condition: () -> Bool) throws(PoisonedBarrier) {
    patience.wait { condition() || poisoned.load(ordering: .acquiring) }
    if poisoned.load(ordering: .acquiring) { throw PoisonedBarrier() }
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
