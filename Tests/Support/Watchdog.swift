import Dispatch
import Foundation
import Tensors

/// Runs `body` on a thread of its own and returns its result.
///
/// Nothing hangs: a run that takes longer than `seconds` ends the process.
package func within<Result: Sendable>(
  seconds: Double = 60, _ body: @escaping @Sendable () throws -> Result
) throws -> Result {
  let outcome = Locked<Swift.Result<Result, any Error>?>(nil)
  let done = DispatchSemaphore(value: 0)
  let thread = Thread {
    let result = Swift.Result { try body() }
    outcome.withLock { $0 = result }
    done.signal()
  }
  thread.stackSize = 16 << 20
  thread.start()
  if done.wait(timeout: .now() + seconds) == .timedOut { fatalError("a test hung for \(seconds) s") }
  return try outcome.withLock { $0! }.get()
}
