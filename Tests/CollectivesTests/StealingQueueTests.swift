import Collectives
import Foundation
import Support
import Synchronization
import Tensors
import Testing

/// Queues of tasks that threads steal from each other.
@Suite(.serialized) struct StealingQueueTests {
  /// In every round every task is done once, by its owner or a thief, however late its owner comes.
  @Test(arguments: [2, 3, 8]) func everyTaskIsDoneOnce(threads: Int) throws {
    let (rounds, count, stealable) = (100, 9, 5)
    let (complaints, stolenCount) = try within {
      let queues = (0..<threads).map { _ in StealingQueue() }
      let cells = AlignedBuffer<Int>(count: threads * count)
      let complaints = Atomic<Int>(0)
      let steals = Atomic<Int>(0)
      let stolenCount = Atomic<Int>(0)
      let team = WorkerTeam(size: threads, patience: .oversubscribed)
      try team.run { worker in
        let mine = cells.start + worker * count
        for round in 1...rounds {
          queues[worker].open(count - stealable..<count, round: UInt32(round))
          // One of them is slow, by turns.
          let isSlow = round / 10 % threads == worker
          let before = steals.load(ordering: .relaxed)
          // Where all begin a round together, the slow one waits until it is stolen from.
          let isJoint = round % 10 == 0
          if isJoint { try team.barrier.wait() }
          for task in 0..<count - stealable { mine[task] += 1 }
          while let task = queues[worker].next() {
            mine[task] += 1
            if isSlow { usleep(20) }
            while isJoint, isSlow, steals.load(ordering: .relaxed) == before { usleep(20) }
          }
          for victim in 0..<threads where victim != worker {
            while let task = queues[victim].steal(round: UInt32(round)) {
              steals.add(1, ordering: .relaxed)
              if task < count - stealable { complaints.add(1, ordering: .relaxed) }
              cells.start[victim * count + task] += 1
              queues[victim].giveBack()
            }
          }
          // No barrier in most rounds: queues of other rounds than one's own give nothing.
          let stolen = try queues[worker].stolen(upTo: count, team.barrier)
          stolenCount.add(stolen.count, ordering: .relaxed)
          for task in 0..<count where mine[task] != round { complaints.add(1, ordering: .relaxed) }
        }
      }
      return (complaints.load(ordering: .relaxed), stolenCount.load(ordering: .relaxed))
    }
    #expect(complaints == 0)
    #expect(stolenCount > 0)
  }

  @Test func onlyTasksOfTheSameRoundAreStolenFromTheEnd() throws {
    let owner = StealingQueue()
    let barrier = Barrier(count: 1, patience: .dedicated)
    #expect(owner.steal(round: 1) == nil)
    owner.open(2..<5, round: 1)
    #expect(owner.steal(round: 0) == nil && owner.steal(round: 2) == nil)
    #expect(owner.steal(round: 1) == 4)
    #expect(owner.next() == 2 && owner.next() == 3 && owner.next() == nil)
    #expect(owner.steal(round: 1) == nil)
    owner.giveBack()
    #expect(try owner.stolen(upTo: 5, barrier) == 4..<5)

    // Rounds in which nothing may be stolen leave the queue as it is.
    #expect(owner.steal(round: 7) == nil)
    owner.open(1..<4, round: 8)
    #expect(owner.steal(round: 8) == 3 && owner.steal(round: 8) == 2)
    #expect(owner.next() == 1 && owner.next() == nil && owner.steal(round: 8) == nil)
    barrier.poison()
    #expect(throws: PoisonedBarrier.self) { try owner.stolen(upTo: 4, barrier) }
  }
}
