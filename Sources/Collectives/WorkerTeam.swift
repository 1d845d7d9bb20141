import CPlatform
import Dispatch
import Tensors

/// The computing threads of one rank: persistent, meeting at a barrier.
///
/// Worker 0 is the thread that calls `run`, and the only one that talks to other ranks. Each of the others lives on a
/// serial DispatchQueue of its own (serial queues overcommit: each gets its own thread) and waits at a gate between runs.
/// Not `concurrentPerform`: with a barrier inside it can deadlock, since it uses at most as many threads as CPUs.
package final class WorkerTeam: Sendable {
  /// The number of workers.
  package let size: Int
  /// Where the workers meet in the middle of a run.
  package let barrier: Barrier

  private let gate: Barrier
  private let failure = Locked<(any Error)?>(nil)
  private let finished = DispatchGroup()
  /// What to run, as long as the workers do; written while they wait at the gate.
  private nonisolated(unsafe) var task: Unmanaged<Task>?

  private final class Task: Sendable {
    let body: @Sendable (_ worker: Int) throws -> Void

    init(_ body: @escaping @Sendable (_ worker: Int) throws -> Void) { self.body = body }
  }

  package init(size: Int, patience: Barrier.Patience) {
    invariant(size > 0, "a team needs a worker")
    self.size = size
    barrier = Barrier(count: size, patience: patience)
    gate = Barrier(count: size, patience: patience)
    platform_set_openmp_threads(1)
    for worker in 1..<max(size, 1) {
      // The queue must not keep the team alive, or the team could never end its workers; it waits for them before it goes.
      let (gate, team) = (gate, Reference(team: .passUnretained(self)))
      DispatchQueue(label: "lockstep.worker.\(worker)", qos: .userInitiated).async(group: finished) {
        let mode = Self.prepareThread()
        // Dispatch gives the thread to others.
        defer { platform_set_float_mode(mode) }
        while (try? gate.wait()) != nil {
          team.team._withUnsafeGuaranteedRef { $0.perform(worker) }
          guard (try? gate.wait()) != nil else { return }
        }
      }
    }
  }

  deinit {
    gate.poison()
    finished.wait()
  }

  /// Runs `body` on every worker and returns when all are done.
  ///
  /// - Throws: the first error a worker threw. The barrier stays poisoned then: the team has ended.
  package func run(_ body: @escaping @Sendable (_ worker: Int) throws -> Void) throws {
    let mode = Self.prepareThread()
    defer { platform_set_float_mode(mode) }
    let task = Task(body)
    try withExtendedLifetime(task) {
      self.task = .passUnretained(task)
      try gate.wait()
      perform(0)
      try gate.wait()
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// Runs the body. Nobody counts references to it: the workers, who all begin and end at the same time, would wait for each
  /// other; and the team cannot end on a thread of its own, as it would where a worker were the last to hold its owner.
  private func perform(_ worker: Int) {
    do {
      try task!._withUnsafeGuaranteedRef { try $0.body(worker) }
    } catch is PoisonedBarrier {
      // Another worker's failure, which that worker has recorded.
    } catch {
      failure.withLock { if $0 == nil { $0 = error } }
      barrier.poison()
    }
  }

  /// Denormals slow arithmetic down a hundredfold, and oneDNN would start threads of its own.
  ///
  /// - Returns: the thread's mode of arithmetic before.
  private static func prepareThread() -> UInt64 {
    platform_set_openmp_threads(1)
    return platform_flush_denormals()
  }

  private struct Reference: @unchecked Sendable {
    let team: Unmanaged<WorkerTeam>
  }
}
