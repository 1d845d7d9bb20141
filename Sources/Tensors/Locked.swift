import Foundation

/// A value behind a lock.
///
/// On a pthread lock, because the thread sanitizer sees those; the standard library's `Mutex` waits on a futex, which it
/// does not see, and every use would look like a race.
///
/// Sendable: the value is only reached with the lock held.
package final class Locked<Value>: @unchecked Sendable {
  private let lock = NSLock()
  private var value: Value

  package init(_ value: sending Value) {
    self.value = value
  }

  package func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}
