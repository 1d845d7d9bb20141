import Collectives
import Foundation
import Support
import Tensors
import Testing

/// Shows that the thread sanitizer looks: two workers write the same element without meeting.
///
/// Runs only when asked for, under the sanitizer, which must end it.
@Suite struct PlantedRaceTests {
  @Test(
    .enabled(
      if: ProcessInfo.processInfo.environment["LOCKSTEP_PLANTED_RACE"] != nil,
      "a race on purpose: only under the thread sanitizer, with LOCKSTEP_PLANTED_RACE=1"))
  func twoWorkersWriteOneElement() throws {
    let shared = AlignedBuffer<Int>(count: 1)
    let team = WorkerTeam(size: 2, patience: .dedicated)
    try team.run { worker in
      for _ in 0..<10_000 { shared.start.pointee += worker + 1 }
      try team.barrier.wait()
    }
    #expect(shared.start.pointee > 0)
  }
}
