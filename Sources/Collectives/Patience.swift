import CPlatform
import Foundation

extension Barrier {
  /// How long a waiting thread stays awake.
  package enum Patience: Sendable {
    /// There is a CPU for every thread.
    case dedicated
    /// Threads outnumber CPUs: whoever stays awake keeps another from arriving.
    case oversubscribed

    /// That of a rank's threads, and of as many as those of each other rank of the machine: a launcher may have bound this
    /// rank to few CPUs, or ranks may share them all.
    package init(ranks: Int, threads: Int) {
      let isCrowded = threads > platform_available_cpus() || ranks * threads > ProcessInfo.processInfo.processorCount
      self = isCrowded ? .oversubscribed : .dedicated
    }

    /// Looks some 10 ns apart.
    private var spins: Int { self == .dedicated ? 2_000 : 20 }
    /// Looks with a yield between them, before a thread sleeps that is woken up.
    private var yields: Int { self == .dedicated ? Self.mostYields : 20 }
    private static let mostYields = 5_000

    /// Looks until the condition is true, or for as long as a waiting thread stays awake that is woken up.
    func look(until condition: () -> Bool) { look(yields: yields, until: condition) }

    /// Returns when another thread has made the condition true, which wakes nobody up. Whoever sleeps comes late, so that it
    /// yields for long, which lets others work too.
    func wait(until condition: () -> Bool) {
      look(yields: Self.mostYields, until: condition)
      while !condition() { usleep(50) }
    }

    private func look(yields: Int, until condition: () -> Bool) {
      var looks = 0
      while looks < spins + yields, !condition() {
        if looks < spins { platform_spin_hint() } else { sched_yield() }
        looks += 1
      }
    }
  }
}
