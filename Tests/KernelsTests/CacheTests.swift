import Collectives
import Kernels
import Support
import Synchronization
import Testing

/// Values that are made once per key.
struct CacheTests {
  /// However many threads ask at once, a value is made once, and all get the same one.
  @Test(arguments: [1, 2, 8]) func valuesAreMadeOnce(threads: Int) throws {
    final class Made: Sendable {}
    let keys = 50
    let made = Atomic<Int>(0)
    let strangers = Atomic<Int>(0)
    try within {
      let cache = Cache<Int, Made>()
      let team = WorkerTeam(size: threads, patience: .oversubscribed)
      @Sendable func value(_ key: Int) -> Made {
        cache.with(
          key,
          make: {
            made.add(1, ordering: .relaxed)
            return Made()
          }
        ) { $0 }
      }
      try team.run { _ in
        for key in 0..<keys {
          try team.barrier.wait()
          let first = value(key)
          try team.barrier.wait()
          if value(key) !== first { strangers.add(1, ordering: .relaxed) }
        }
      }
      // Every thread's first answer was the cache's.
      let values = (0..<keys).map(value)
      #expect(Set(values.map(ObjectIdentifier.init)).count == keys)
    }
    #expect(made.load(ordering: .relaxed) == keys)
    #expect(strangers.load(ordering: .relaxed) == 0)
  }

  /// Values go with their cache.
  @Test func valuesAreReleased() {
    final class Made: Sendable {}
    weak var value: Made?
    do {
      let cache = Cache<Int, Made>()
      for key in 0..<3 { cache.with(key, make: { Made() }) { value = $0 } }
      #expect(value != nil)
    }
    #expect(value == nil)
  }
}
