import Collectives
import Foundation
import Support
import Tensors
import Testing

/// The collectives of ranks that are threads.
@Suite struct CommunicatorTests {
  @Test(arguments: 1...5) func broadcast(ranks: Int) throws {
    for root in 0..<ranks {
      for count in [0, 1, 1000] {
        let received = try asRanks(ranks) { communicator in
          var bytes = [UInt8](repeating: UInt8(communicator.rank + 1), count: count)
          try bytes.withUnsafeMutableBytes { try communicator.broadcast($0, root: root) }
          return bytes
        }
        let isRight = received.allSatisfy { $0 == [UInt8](repeating: UInt8(root + 1), count: count) }
        #expect(isRight, "root \(root) of \(ranks), \(count) bytes")
      }
    }
  }

  @Test(arguments: [1, 3], [nil, 0, 1, 1000]) func fromFirst(ranks: Int, count: Int?) throws {
    let bytes = count.map { Data((0..<$0).map { UInt8($0 & 0xFF) }) }
    let received = try asRanks(ranks) { communicator in
      try communicator.fromFirst { communicator.rank == 0 ? bytes : Data("not read".utf8) }
    }
    #expect(received.allSatisfy { $0 == bytes })
  }

  /// Uneven parts, every third one empty.
  @Test(arguments: 1...5) func allGather(ranks: Int) throws {
    let counts = (0..<ranks).map { $0 % 3 == 1 ? 0 : 7 + $0 * $0 }
    let expected = (0..<ranks).flatMap { rank in (0..<counts[rank]).map { UInt8(40 * rank + $0) } }
    let received = try asRanks(ranks) { communicator in
      let start = counts[..<communicator.rank].reduce(0, +)
      var bytes = [UInt8](repeating: 0xFF, count: expected.count)
      for i in start..<start + counts[communicator.rank] { bytes[i] = expected[i] }
      try bytes.withUnsafeMutableBytes { try communicator.allGather($0, counts: counts) }
      return bytes
    }
    let isRight = received.allSatisfy { $0 == expected }
    #expect(isRight)
  }

  @Test func allGatherOfTexts() throws {
    let texts = ["", "one", "zwei äöü", "", "four and more"]
    let received = try asRanks(5) { try $0.allGather(texts[$0.rank]) }
    #expect(received.allSatisfy { $0 == texts })
  }

  /// Rank p sends p * q % 3 bytes to rank q.
  @Test(arguments: 1...5) func allToAll(ranks: Int) throws {
    @Sendable func count(_ sender: Int, _ receiver: Int) -> Int { sender * receiver % 3 + (sender == receiver ? 0 : 1) }
    @Sendable func parts(_ counts: [Int]) -> [Range<Int>] {
      var end = 2  // Parts need not begin at the start.
      return counts.map { count in
        defer { end += count }
        return end..<end + count
      }
    }
    let isRight = try asRanks(ranks) { communicator in
      let rank = communicator.rank
      let sendParts = parts((0..<ranks).map { count(rank, $0) })
      let receiveParts = parts((0..<ranks).map { count($0, rank) })
      var sent = [UInt8](repeating: 0xEE, count: sendParts.last!.upperBound)
      for (receiver, part) in sendParts.enumerated() {
        for i in part { sent[i] = UInt8(50 * rank + 10 * receiver + i - part.lowerBound) }
      }
      var received = [UInt8](repeating: 0xFF, count: receiveParts.last!.upperBound + 3)
      var expected = received
      for (sender, part) in receiveParts.enumerated() {
        for i in part { expected[i] = UInt8(50 * sender + 10 * rank + i - part.lowerBound) }
      }
      try sent.withUnsafeBytes { send in
        try received.withUnsafeMutableBytes {
          try communicator.allToAll(
            send: send.baseAddress, parts: sendParts, receive: $0.baseAddress, parts: receiveParts)
        }
      }
      return received == expected
    }
    let areRight = isRight.allSatisfy { $0 }
    #expect(areRight)
  }

  @Test func rankSizeAndBarrier() throws {
    let numbers = try asRanks(4) { communicator in
      for _ in 0..<100 { try communicator.barrier() }
      return [communicator.rank, communicator.size, communicator.localSize]
    }
    #expect(numbers == (0..<4).map { [$0, 4, 4] })
  }

  /// What one rank writes, all of its machine read.
  @Test(arguments: [[[0, 1, 2]], [[0, 2], [1]], [[0], [1], [2]]]) func sharedMemory(machines: [[Int]]) throws {
    let found = try asRanks(machines) { communicator in
      #expect(communicator.machines == machines && communicator.machine.contains(communicator.rank))
      var sums: [Int] = []
      for round in 1...2 {
        let memory = try communicator.share(bytes: 8 * (communicator.rank + 1))
        let regions = memory.regions.map { $0.assumingMemoryBound(to: Int.self) }
        let mine = regions[communicator.machine.firstIndex(of: communicator.rank)!]
        #expect(mine[communicator.rank] == 0)
        mine[communicator.rank] = round * (10 + communicator.rank)
        try communicator.machineBarrier()
        sums.append(zip(regions, communicator.machine).reduce(0) { $0 + $1.0[$1.1] })
        try communicator.machineBarrier()
      }
      return sums
    }
    let expected = (0..<3).map { rank in machines.first { $0.contains(rank) }!.reduce(0) { $0 + 10 + $1 } }
    #expect(found == expected.map { [$0, 2 * $0] })
  }

  // MARK: - Agreement

  @Test func agreeReturnsEachRanksResult() throws {
    let results = try asRanks(3) { communicator in try communicator.agree { communicator.rank * 10 } }
    #expect(results == [0, 10, 20])
  }

  /// One rank fails: all throw the same, and go on to meet in other collectives.
  @Test func agreeThrowsOnAllRanks() throws {
    let complaints = try asRanks(4) { communicator in
      var complaint = "nothing was thrown"
      do {
        try communicator.agree { if communicator.rank == 2 { throw LockstepError("no such file") } }
      } catch let error as SharedError {
        complaint = error.description
      }
      try communicator.barrier()
      return complaint
    }
    #expect(complaints == Array(repeating: "rank 2: no such file", count: 4))
  }

  /// What is wrong everywhere is no single rank's fault; the first of different complaints is told.
  @Test func agreeTellsTheFirstComplaint() throws {
    func complaint(_ texts: [String?]) throws -> [String] {
      try asRanks(texts.count) { communicator in
        do {
          try communicator.agree { if let text = texts[communicator.rank] { throw LockstepError(text) } }
          return "nothing was thrown"
        } catch let error as SharedError {
          return error.description
        }
      }
    }
    #expect(try complaint(["bad option", "bad option", "bad option"]) == Array(repeating: "bad option", count: 3))
    #expect(try complaint([nil, "disk full", "disk gone"]) == Array(repeating: "rank 1: disk full", count: 3))
  }

  /// A rank that fails outside of `agree` must not leave the others waiting.
  @Test func poisonReleasesTheOthers() throws {
    #expect(throws: LockstepError("gone")) {
      _ = try asRanks(3, seconds: 30) { communicator in
        if communicator.rank == 1 { throw LockstepError("gone") }
        try communicator.barrier()
      }
    }
  }
}
