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
          queues[worker].open(count: count, stealable: stealable)
          // One of them is slow, by turns.
          let isSlow = round / 10 % threads == worker
          let before = steals.load(ordering: .relaxed)
          // Where all begin a round together, the slow one waits until it is stolen from.
          let isJoint = round % 10 == 0
          if isJoint { try team.barrier.wait() }
          while let task = queues[worker].next() {
            mine[task] += 1
            if isSlow { usleep(20) }
            while isJoint, isSlow, steals.load(ordering: .relaxed) == before { usleep(20) }
          }
          for victim in 0..<threads where victim != worker {
            while let task = queues[worker].steal(from: queues[victim]) {
              steals.add(1, ordering: .relaxed)
              if task < count - stealable { complaints.add(1, ordering: .relaxed) }
              cells.start[victim * count + task] += 1
              queues[victim].giveBack()
            }
          }
          // No barrier in most rounds: queues of other rounds than one's own give nothing.
          let stolen = try queues[worker].stolen(of: count, team.barrier)
          stolenCount.add(stolen.count, ordering: .relaxed)
          for task in 0..<count where mine[task] != round { complaints.add(1, ordering: .relaxed) }
        }
      }
      return (complaints.load(ordering: .relaxed), stolenCount.load(ordering: .relaxed))
    }
    #expect(complaints == 0)
    #expect(stolenCount > 0)
  }

  @Test func onlyTheLastTasksOfTheSameRoundAreStolen() throws {
    let (owner, thief) = (StealingQueue(), StealingQueue())
    let barrier = Barrier(count: 1, patience: .dedicated)
    owner.open(count: 4, stealable: 2)
    #expect(thief.steal(from: owner) == nil)
    thief.open(count: 0, stealable: 0)
    #expect(thief.next() == nil && thief.steal(from: owner) == 3)
    #expect(owner.next() == 0 && owner.next() == 1 && owner.next() == 2 && owner.next() == nil)
    #expect(thief.steal(from: owner) == nil)
    owner.giveBack()
    #expect(try owner.stolen(of: 4, barrier) == 3..<4)

    owner.open(count: 4, stealable: 2)
    #expect(thief.steal(from: owner) == nil)
    thief.open(count: 0, stealable: 0)
    #expect(thief.steal(from: owner) == 3 && thief.steal(from: owner) == 2 && thief.steal(from: owner) == nil)
    #expect(owner.next() == 0 && owner.next() == 1 && owner.next() == nil)
    barrier.poison()
    #expect(throws: PoisonedBarrier.self) { try owner.stolen(of: 4, barrier) }
  }
}
