import Collectives
import Dispatch
import Support
import Synchronization
import Tensors
import Testing

/// Teams of workers: also more of them than there are CPUs, and with both kinds of patience.
@Suite(.serialized) struct WorkerTeamTests {
  static let teams: [(size: Int, patience: Barrier.Patience)] = [
    (1, .dedicated), (2, .dedicated), (2, .oversubscribed), (3, .oversubscribed), (8, .oversubscribed),
  ]

  @Test(arguments: teams) func everyWorkerRuns(size: Int, patience: Barrier.Patience) throws {
    let counts = try within {
      let counts = Locked([Int](repeating: 0, count: size))
      let team = WorkerTeam(size: size, patience: patience)
      for _ in 0..<200 { try team.run { worker in counts.withLock { $0[worker] += 1 } } }
      return counts.withLock { $0 }
    }
    #expect(counts == Array(repeating: 200, count: size))
  }

  /// Workers flush denormals; the caller's thread does as it did before.
  @Test func flushesDenormalsWhileItRuns() throws {
    let denormals = Locked([Float](repeating: .leastNonzeroMagnitude, count: 2))
    @Sendable func isFlushed(_ worker: Int) -> Bool { denormals.withLock { $0[worker] * 2 == 0 } }
    let flushed = try within {
      let flushed = Locked([false, false])
      try WorkerTeam(size: 2, patience: .dedicated).run { worker in
        let isFlushed = isFlushed(worker)
        flushed.withLock { $0[worker] = isFlushed }
      }
      return flushed.withLock { $0 } + [isFlushed(0)]
    }
    #expect(flushed == [true, true, false])
  }

  /// What all have written in one phase, each reads in the next: without synchronization but the barrier.
  @Test(arguments: teams) func barrierSeparatesPhases(size: Int, patience: Barrier.Patience) throws {
    let rounds = 500
    let failures = try within {
      let cells = AlignedBuffer<Int>(count: 2 * size * 16)
      let failures = Atomic<Int>(0)
      let team = WorkerTeam(size: size, patience: patience)
      try team.run { worker in
        for round in 1...rounds {
          // Two rows of cells by turns: one may be written while the other is still being read.
          let row = cells.start + round % 2 * size * 16
          row[worker * 16] = round
          try team.barrier.wait()
          for other in 0..<size where row[other * 16] != round { failures.add(1, ordering: .relaxed) }
        }
      }
      return failures.load(ordering: .relaxed)
    }
    #expect(failures == 0)
  }

  /// The error comes out of `run`; those that wait at the barrier are let go, and the next run does not hang either.
  @Test(arguments: teams) func errorIsThrownAndReleasesTheOthers(size: Int, patience: Barrier.Patience) throws {
    for failing in Set([0, size - 1]) {
      let released = try within {
        let released = Atomic<Int>(0)
        let team = WorkerTeam(size: size, patience: patience)
        #expect(throws: LockstepError("worker \(failing) fails")) {
          try team.run { worker in
            if worker == failing { throw LockstepError("worker \(failing) fails") }
            do {
              try team.barrier.wait()
            } catch {
              released.add(1, ordering: .relaxed)
              throw error
            }
          }
        }
        #expect(throws: (any Error).self) { try team.run { _ in try team.barrier.wait() } }
        return released.load(ordering: .relaxed)
      }
      #expect(released == size - 1)
    }
  }

  private final class Owner: Sendable {
    let team = WorkerTeam(size: 3, patience: .oversubscribed)
    func work() throws { try team.run { [self] _ in _ = team.size } }
  }

  /// An engine owns its team and is captured by what the team runs. More of them than Dispatch has threads.
  @Test func ownersOfTeamsEnd() throws {
    let isAlive = try within {
      weak var last: Owner?
      for _ in 0..<300 {
        let owner = Owner()
        try owner.work()
        last = owner
      }
      return last != nil
    }
    #expect(!isAlive)
  }

  /// Workers live as long as their team and no longer.
  @Test func teamsEnd() throws {
    try within {
      for size in 1...4 {
        for _ in 0..<20 { try WorkerTeam(size: size, patience: .oversubscribed).run { _ in } }
        _ = WorkerTeam(size: size, patience: .oversubscribed)
      }
    }
  }
}

@Suite struct BarrierTests {
  /// Waiting threads are let go, and those that come later do not wait.
  @Test(arguments: [Barrier.Patience.dedicated, .oversubscribed]) func poison(patience: Barrier.Patience) throws {
    let thrown = try within {
      let barrier = Barrier(count: 4, patience: patience)
      let thrown = Atomic<Int>(0)
      let waiting = DispatchGroup()
      for worker in 0..<2 {
        DispatchQueue(label: "waiting \(worker)").async(group: waiting) {
          do { try barrier.wait() } catch { thrown.add(1, ordering: .relaxed) }
        }
      }
      // Long enough that both sleep in most runs; right in all.
      _ = waiting.wait(timeout: .now() + 0.02)
      barrier.poison()
      waiting.wait()
      for _ in 0..<5 {
        do { try barrier.wait() } catch { thrown.add(1, ordering: .relaxed) }
      }
      return thrown.load(ordering: .relaxed)
    }
    #expect(thrown == 7)
  }
}
