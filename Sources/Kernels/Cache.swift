import Synchronization
import Tensors

/// Values made once per key, by whichever worker asks first.
///
/// There are few of them, and they are asked for in every step by all workers, so they are found in a list without a lock,
/// and handed over without counting a reference.
package final class Cache<Key: Equatable & Sendable, Value: Sendable>: Sendable {
  private final class Entry: Sendable {
    let key: Key
    let value: Value
    let next: Unmanaged<Entry>?

    init(_ key: Key, _ value: Value, next: Unmanaged<Entry>?) { (self.key, self.value, self.next) = (key, value, next) }
  }

  private let newest = Atomic<Unmanaged<Entry>?>(nil)
  private let making = Locked(())

  package init() {}

  deinit {
    var entry = newest.load(ordering: .acquiring)
    while let found = entry {
      entry = found._withUnsafeGuaranteedRef { $0.next }
      found.release()
    }
  }

  package func with<Result>(_ key: Key, make: () -> Value, _ body: (Value) -> Result) -> Result {
    let entry = find(key) ?? making.withLock { _ in find(key) ?? add(key, make()) }
    return entry._withUnsafeGuaranteedRef { body($0.value) }
  }

  private func find(_ key: Key) -> Unmanaged<Entry>? {
    var entry = newest.load(ordering: .acquiring)
    while let found = entry {
      let (isIt, next) = found._withUnsafeGuaranteedRef { ($0.key == key, $0.next) }
      if isIt { return found }
      entry = next
    }
    return nil
  }

  private func add(_ key: Key, _ value: Value) -> Unmanaged<Entry> {
    let entry = Unmanaged.passRetained(Entry(key, value, next: newest.load(ordering: .relaxed)))
    newest.store(entry, ordering: .releasing)
    return entry
  }
}
