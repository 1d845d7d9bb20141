import Collectives
import Support
import Tensors
import Testing
import Training

/// Where parameters are: an array for all of a machine, or two for every worker, which change roles.
@Suite struct ParameterMemoryTests {
  private static let threads = 2
  /// The most that workers have of their own.
  private static let most = (512 << 10) / MemoryLayout<Float>.size

  private static func values(_ memory: ParameterMemory) -> [[Float]] {
    (0..<threads).map { Array(UnsafeBufferPointer(start: memory.start(ofWorker: $0), count: memory.count)) }
  }

  /// The steps of an update: everyone's next arrays are written, all meet, the arrays change roles. What is changed between
  /// steps then reaches every worker, and only the array that is read.
  @Test func arraysTakeTurns() throws {
    let count = 1_003
    let places = try asRanks(2) { communicator in
      let memory = ParameterMemory(count: count, threads: Self.threads, communicator)
      var expected = (0..<count).map(Float.init)
      memory.change { $0.update(from: expected, count: count) }
      for step in 1...3 {
        try memory.publish()
        #expect(Self.values(memory) == [expected, expected], "step \(step)")
        let next = memory.next(memory.turn)
        #expect(Set(next).count == 2 * Self.threads)
        #expect((0..<Self.threads).allSatisfy { !next.contains(memory.start(ofWorker: $0)) })
        expected = expected.map { $0 + Float(step) }
        for worker in 0..<Self.threads {
          memory.array(ofWorker: worker, rank: communicator.rank, turn: 1 - memory.turn).update(
            from: expected, count: count)
        }
        try communicator.barrier()
        memory.takeTurns()
        #expect(Array(memory.current) == expected && Self.values(memory) == [expected, expected], "step \(step)")
        expected[5] = Float(-step)
        memory.change { $0[5] = Float(-step) }
      }
      return (0..<Self.threads).map { UInt(bitPattern: memory.start(ofWorker: $0)) }
    }
    #expect(Set(places.joined()).count == 2 * Self.threads)
  }

  /// Many parameters, and those of several machines, stay where they are.
  @Test(arguments: [(most, [[0, 1]], true), (most + 1, [[0, 1]], false), (most, [[0], [1]], false)])
  func whoHasHisOwn(count: Int, machines: [[Int]], areReplicated: Bool) throws {
    _ = try asRanks(machines) { communicator in
      let memory = ParameterMemory(count: count, threads: Self.threads, communicator)
      memory.change { $0[count - 1] = 3 }
      try memory.publish()
      #expect((memory.start(ofWorker: 0) != memory.start(ofWorker: 1)) == areReplicated)
      #expect(memory.next(memory.turn).isEmpty == !areReplicated)
      memory.takeTurns()
      if !areReplicated { #expect(Self.values(memory).allSatisfy { $0.last == 3 }) }
    }
  }

  /// A worker alone needs no copy.
  @Test func alone() {
    let memory = ParameterMemory(count: 10, threads: 1, ThreadCommunicator.alone)
    #expect(memory.next(0).isEmpty)
  }
}
