import Collectives
import Support
import Tensors
import Testing

/// Meetings in shared memory, of ranks that are threads.
@Suite(.serialized) struct MachineMeetingTests {
  private func asMeetings<Result: Sendable>(
    _ ranks: Int, _ body: @escaping @Sendable (_ rank: Int, MachineMeeting) throws -> Result
  ) throws -> [Result] {
    try asRanks(ranks) { communicator in
      let memory = try communicator.share(bytes: MachineMeeting.regionBytes)
      return try body(communicator.rank, MachineMeeting(memory, index: communicator.rank, patience: .oversubscribed))
    }
  }

  /// Many in a row, of uneven parts, with barriers in between: a rank that is ahead overwrites nothing that another reads.
  @Test(arguments: 1...5) func allGather(ranks: Int) throws {
    @Sendable func count(_ rank: Int, _ round: Int) -> Int { (rank + round) % 3 * 40 * (rank + 1) }
    @Sendable func byte(_ rank: Int, _ round: Int, _ i: Int) -> UInt8 {
      UInt8(truncatingIfNeeded: 31 * rank + 7 * round + i)
    }
    // Nobody stops at the first mistake: the others would wait.
    let wrong = try asMeetings(ranks) { rank, meeting in
      (0..<1_000).filter { round in
        let counts = (0..<ranks).map { count($0, round) }
        let expected = (0..<ranks).flatMap { rank in (0..<counts[rank]).map { byte(rank, round, $0) } }
        let start = counts[..<rank].reduce(0, +)
        var bytes = [UInt8](repeating: 0, count: expected.count)
        for i in 0..<counts[rank] { bytes[start + i] = byte(rank, round, i) }
        bytes.withUnsafeMutableBytes { meeting.allGather($0, counts: counts) }
        if round % 7 == 3 { meeting.meet() }
        return bytes != expected
      }
    }
    #expect(wrong == Array(repeating: [], count: ranks))
  }

  /// As many bytes as there is room for.
  @Test func fullRoom() throws {
    let counts = [MachineMeeting.capacity, MachineMeeting.capacity]
    let wrong = try asMeetings(2) { rank, meeting in
      (UInt8(0)..<4).filter { round in
        var bytes = [UInt8](repeating: 0, count: 2 * MachineMeeting.capacity)
        for i in 0..<counts[rank] { bytes[rank * counts[0] + i] = 10 * round + UInt8(rank) }
        bytes.withUnsafeMutableBytes { meeting.allGather($0, counts: counts) }
        return bytes != counts.indices.flatMap { Array(repeating: 10 * round + UInt8($0), count: counts[$0]) }
      }
    }
    #expect(wrong == [[], []])
  }

  /// Nobody leaves before all have come.
  @Test(arguments: 2...4) func barrier(ranks: Int) throws {
    let cells = AlignedBuffer<Int>(count: 64 * ranks)
    let wrong = try asMeetings(ranks) { rank, meeting in
      (1...2_000).filter { round in
        cells.start[64 * rank] = round
        meeting.meet()
        let isThere = (0..<ranks).allSatisfy { cells.start[64 * $0] == round }
        meeting.meet()
        return !isThere
      }
    }
    #expect(wrong == Array(repeating: [], count: ranks))
  }
}
