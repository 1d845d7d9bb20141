import Collectives
import Support
import Tensors
import Testing

/// The communicator of some of the ranks, and the one that measures.
@Suite struct MeteredCommunicatorTests {
  @Test(arguments: 1...4) func theFirstRanks(count: Int) throws {
    let results = try asRanks(4) { communicator -> [String] in
      let part = try communicator.first(count)
      let names = try part.map { try $0.allGather("\(communicator.rank)/\($0.rank) of \($0.size)") }
      try communicator.sleepingBarrier()
      // A second part, to see that the first is out of the way.
      let all = try communicator.first(4)!.allGather("\(communicator.rank)")
      return (names ?? ["none"]) + all
    }
    let names = (0..<count).map { "\($0)/\($0) of \(count)" }
    for (rank, result) in results.enumerated() {
      #expect(result == (rank < count ? names : ["none"]) + ["0", "1", "2", "3"])
    }
  }

  /// Uneven parts; what a rank keeps is not on the wire, and nothing counts while nobody measures.
  @Test func bytesAreThoseOfOthers() throws {
    let counts = [5, 0, 9]
    let bytes = try asRanks(3) { base -> [Int] in
      let communicator = MeteredCommunicator(base)
      var buffer = [UInt8](repeating: UInt8(base.rank), count: 14)
      func gather() throws { try buffer.withUnsafeMutableBytes { try communicator.allGather($0, counts: counts) } }
      func exchange() throws {
        // Rank p sends p + 1 bytes to everybody, itself too.
        let parts = (0..<3).map { _ in 0..<base.rank + 1 }
        var received = [UInt8](repeating: 0, count: 6)
        try buffer.withUnsafeBytes { send in
          try received.withUnsafeMutableBytes {
            try communicator.allToAll(
              send: send.baseAddress, parts: parts, receive: $0.baseAddress, parts: [0..<1, 1..<3, 3..<6])
          }
        }
      }
      try gather()
      let unmetered = communicator.takeTraffic()
      communicator.isMetering = true
      try gather()
      let gathered = communicator.takeTraffic()
      try exchange()
      try exchange()
      let exchanged = communicator.takeTraffic()
      return [
        unmetered.bytes + unmetered.messages, gathered.bytes, gathered.messages, exchanged.bytes, exchanged.messages,
      ]
    }
    #expect(bytes == [[0, 9, 1, 10, 2], [0, 14, 1, 8, 2], [0, 5, 1, 6, 2]])
  }
}
