import CPlatform
import Foundation

extension Barrier {
  /// How long a waiting thread stays awake.
  package enum Patience: Sendable {
    /// There is a CPU for every thread.
    case dedicated
    /// Threads outnumber CPUs: whoever stays awake keeps another from arriving.
    case oversubscribed

    /// Looks some 10 ns apart.
    private var spins: Int { self == .dedicated ? 2_000 : 20 }
    /// Looks with a yield between them.
    private var yields: Int { self == .dedicated ? 5_000 : 20 }

    /// Looks until the condition is true, or for as long as a waiting thread stays awake.
    func look(until condition: () -> Bool) {
      var looks = 0
      while looks < spins + yields, !condition() {
        if looks < spins { platform_spin_hint() } else { sched_yield() }
        looks += 1
      }
    }

    /// Returns when another thread has made the condition true, which wakes nobody up.
    func wait(until condition: () -> Bool) {
      look(until: condition)
      while !condition() { usleep(50) }
    }
  }
}
