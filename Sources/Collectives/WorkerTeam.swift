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
  private let state: Locked<State>
  private let finished = DispatchGroup()

  private struct State {
    var body: (@Sendable (Int) throws -> Void)?
    var failure: (any Error)?
  }

  package init(size: Int, patience: Barrier.Patience) {
    invariant(size > 0, "a team needs a worker")
    self.size = size
    barrier = Barrier(count: size, patience: patience)
    gate = Barrier(count: size, patience: patience)
    state = Locked(State())
    platform_set_openmp_threads(1)
    for worker in 1..<max(size, 1) {
      // The queue must not keep the team alive, or the team could never end its workers.
      let (gate, barrier, state) = (gate, barrier, StateReference(self))
      DispatchQueue(label: "lockstep.worker.\(worker)", qos: .userInitiated).async(group: finished) {
        let mode = Self.prepareThread()
        // Dispatch gives the thread to others.
        defer { platform_set_float_mode(mode) }
        while (try? gate.wait()) != nil, Self.perform(worker, barrier, state) {
          guard (try? gate.wait()) != nil else { return }
        }
      }
    }
  }

  deinit {
    state.withLock { $0.body = nil }
    gate.poison()
    finished.wait()
  }

  /// Runs `body` on every worker and returns when all are done.
  ///
  /// - Throws: the first error a worker threw. The barrier stays poisoned then: the team has ended.
  package func run(_ body: @escaping @Sendable (_ worker: Int) throws -> Void) throws {
    let mode = Self.prepareThread()
    defer { platform_set_float_mode(mode) }
    state.withLock { $0.body = body }
    // What owns the team may well be captured by what the team runs.
    defer { state.withLock { $0.body = nil } }
    try gate.wait()
    _ = Self.perform(0, barrier, StateReference(self))
    try gate.wait()
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  /// Runs the body, if there is one, and lets go of it before the workers meet: the last to hold it must be `run`'s
  /// caller, because the team cannot end on a thread of its own.
  private static func perform(_ worker: Int, _ barrier: Barrier, _ state: StateReference) -> Bool {
    guard let body = state.body else { return false }
    do {
      try body(worker)
    } catch is PoisonedBarrier {
      // Another worker's failure, which that worker has recorded.
    } catch {
      state.record(error)
      barrier.poison()
    }
    return true
  }

  /// Denormals slow arithmetic down a hundredfold, and oneDNN would start threads of its own.
  ///
  /// - Returns: the thread's mode of arithmetic before.
  private static func prepareThread() -> UInt64 {
    platform_set_openmp_threads(1)
    return platform_flush_denormals()
  }

  /// The state without its team.
  ///
  /// Unowned is safe: the team waits for its workers before it goes.
  private struct StateReference: Sendable {
    unowned let team: WorkerTeam

    init(_ team: WorkerTeam) { self.team = team }

    var body: (@Sendable (Int) throws -> Void)? { team.state.withLock { $0.body } }

    func record(_ error: any Error) {
      team.state.withLock { if $0.failure == nil { $0.failure = error } }
    }
  }
}
