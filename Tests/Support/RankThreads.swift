import Collectives
import Foundation
import Tensors

/// Runs `body` as `count` ranks, each a thread, and returns their results in rank order.
///
/// The first error is rethrown; the others' barriers are released first. Nothing hangs: a run that takes longer than
/// `seconds` ends the process.
package func asRanks<Result: Sendable>(
  _ count: Int, seconds: Double = 120, _ body: @escaping @Sendable (ThreadCommunicator) throws -> Result
) throws -> [Result] {
  try asRanks([Array(0..<count)], seconds: seconds, body)
}

/// The same on several machines.
package func asRanks<Result: Sendable>(
  _ machines: [[Int]], seconds: Double = 120, _ body: @escaping @Sendable (ThreadCommunicator) throws -> Result
) throws -> [Result] {
  let communicators = ThreadCommunicator.group(machines: machines)
  let results = Locked<[Int: Swift.Result<Result, any Error>]>([:])
  let done = DispatchGroup()
  for communicator in communicators {
    done.enter()
    let thread = Thread {
      let outcome = Swift.Result { try body(communicator) }
      if case .failure = outcome { communicator.poison() }
      results.withLock { $0[communicator.rank] = outcome }
      done.leave()
    }
    thread.stackSize = 16 << 20
    thread.start()
  }
  if done.wait(timeout: .now() + seconds) == .timedOut { fatalError("ranks as threads hung for \(seconds) s") }
  let outcomes = results.withLock { $0 }
  for rank in communicators.indices {
    if case .failure(let error) = outcomes[rank]!, !(error is PoisonedBarrier) { throw error }
  }
  return try communicators.indices.map { try outcomes[$0]!.get() }
}
