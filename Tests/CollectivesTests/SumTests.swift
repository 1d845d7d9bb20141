import Collectives
import Support
import Tensors
import Testing

/// Sums over ranks, bit for bit those of the recursive definition.
@Suite struct SumTests {
  /// Values of very different size: another order of additions gives other bits.
  private static func values<Element: BinaryFloatingPoint>(_ shard: Int, _ count: Int) -> [Element] {
    var random = KeyedRandom(seed: 9, .data, shard)
    return (0..<count).map { _ in
      let mantissa = Element(random.uniform(-1...1))
      return mantissa * Element(1 << random.integer(below: 20))
    }
  }

  private static func definition<Element: FloatingPoint>(_ leaves: [[Element]], _ lo: Int, _ hi: Int) -> [Element] {
    if hi - lo == 1 { return leaves[lo] }
    var extent = 1
    while 2 * extent < hi - lo { extent *= 2 }
    let (left, right) = (definition(leaves, lo, lo + extent), definition(leaves, lo + extent, hi))
    return zip(left, right).map { $0 + $1 }
  }

  private static func runs(_ ranks: Int, of shards: Int) -> [Range<Int>] {
    (0..<ranks).map { $0 * shards / ranks..<($0 + 1) * shards / ranks }
  }

  /// A rank's nodes: its leaves, added up as far as they go.
  private static func nodes<Element: FloatingPoint>(
    _ leaves: [[Element]], _ partition: TreePartition, _ rank: Int
  ) -> [[Element]] {
    partition.roots[rank].map { definition(leaves, $0.lowerBound, $0.upperBound) }
  }

  /// The one result of a schedule.
  private static func sum(_ schedule: SumSchedule, of table: [Float], width: Int) -> [Float] {
    var stack: [[Float]] = []
    for step in schedule.steps {
      switch step {
      case .place(let source, _): stack.append(Array(table[source * width..<(source + 1) * width]))
      case .merge:
        let top = stack.removeLast()
        stack[stack.count - 1] = zip(stack[stack.count - 1], top).map { $0 + $1 }
      }
    }
    return stack[0]
  }

  @Test func theValuesDependOnTheOrder() {
    let leaves: [[Float]] = (0..<8).map { Self.values($0, 600) }
    let inARow = leaves.dropFirst().reduce(leaves[0]) { zip($0, $1).map { $0 + $1 } }
    let isDifferent = inARow != Self.definition(leaves, 0, 8)
    #expect(isDifferent)
  }

  @Test(arguments: 1...5) func allReduce(ranks: Int) throws {
    for shards in [1, 2, 3, 5, 7, 8, 12, 16] {
      for width in [1, 3, 600] {
        let leaves: [[Double]] = (0..<shards).map { Self.values($0, width) }
        let partition = TreePartition(ShardTree(count: shards), runs: Self.runs(ranks, of: shards))
        let sums = try asRanks(ranks) { communicator in
          var table = [Double](repeating: .nan, count: partition.rootCount * width)
          let mine = Self.nodes(leaves, partition, communicator.rank).flatMap(\.self)
          let start = partition.firstRoot(of: communicator.rank) * width
          table.replaceSubrange(start..<start + mine.count, with: mine)
          var sum = [Double](repeating: .nan, count: width)
          try table.withUnsafeMutableBufferPointer { table in
            try sum.withUnsafeMutableBufferPointer {
              try communicator.allReduce(table, width: width, partition, sum: $0.baseAddress!)
            }
          }
          return sum
        }
        let expected = Self.definition(leaves, 0, shards).map(\.bitPattern)
        let isEqual = sums.allSatisfy { $0.map(\.bitPattern) == expected }
        #expect(isEqual, "\(ranks) ranks, \(shards) shards, width \(width)")
      }
    }
  }

  /// Each rank by itself, and every other one on the same machine, whose nodes are read where they are.
  private static func machines(_ ranks: Int) -> [[[Int]]] {
    [(0..<ranks).map { [$0] }, [Array(stride(from: 0, to: ranks, by: 2)), Array(stride(from: 1, to: ranks, by: 2))]]
  }

  @Test(arguments: 1...5) func reduceScatter(ranks: Int) throws {
    for (shards, count) in [1, 3, 5, 7, 8].flatMap({ shards in [1, 2, 600, 1543].map { (shards, $0) } }) {
      let leaves: [[Float]] = (0..<shards).map { Self.values($0, count) }
      let partition = TreePartition(ShardTree(count: shards), runs: Self.runs(ranks, of: shards))
      // Uneven slices; with few elements some are empty.
      let slices = (0..<ranks).map {
        $0 * $0 * count / (ranks * ranks)..<($0 + 1) * ($0 + 1) * count / (ranks * ranks)
      }
      for machines in Self.machines(ranks) {
        let parts = try asRanks(machines) { communicator in
          let arrays = (0..<ranks).map { other in
            Self.nodes(leaves, partition, other).map { node in
              let buffer = AlignedBuffer<Float>(count: count)
              buffer.start.update(from: node, count: count)
              return buffer
            }
          }
          let slice = slices[communicator.rank]
          let received = AlignedBuffer<Float>(count: slice.count * partition.rootCount)
          for i in 0..<received.count { received.start[i] = .nan }
          try withExtendedLifetime(arrays) {
            try communicator.exchangeSlices(
              of: arrays[communicator.rank].map { UnsafePointer($0.start) }, partition, slices: slices,
              received: received.start)
            for rank in communicator.machine {
              for (root, array) in arrays[rank].enumerated() {
                let row = received.start + (partition.firstRoot(of: rank) + root) * slice.count
                #expect(slice.isEmpty || row.pointee.isNaN, "sent on one machine")
                row.update(from: array.start + slice.lowerBound, count: slice.count)
              }
            }
          }
          return Self.sum(partition.schedule, of: Array(received.elements), width: slice.count)
        }
        let isEqual = parts.joined().map(\.bitPattern) == Self.definition(leaves, 0, shards).map(\.bitPattern)
        #expect(isEqual, "\(machines), \(shards) shards, \(count) elements")
      }
    }
  }

  /// Machines of several ranks, in any order; uneven slices, one of them empty.
  @Test(arguments: [[[0], [1], [2]], [[0, 2, 4], [1, 3]], [[0, 1, 2]], [[0, 3], [1], [2, 4, 5]]])
  func gatherSlices(machines: [[Int]]) throws {
    let count = machines.joined().count
    let slices = (0..<count).map { 5 + ($0 * $0 + 1) / 2..<5 + (($0 + 1) * ($0 + 1) + 1) / 2 }
    let isRight = try asRanks(machines) { communicator in
      let memory = try communicator.share(bytes: 4 * slices.last!.upperBound)
      // The machine's array is that of its first rank.
      let array = memory.regions[0].assumingMemoryBound(to: Float.self)
      for i in slices[communicator.rank] { array[i] = Float(100 + i) }
      try communicator.machineBarrier()
      try communicator.gatherSlices(array, slices: slices)
      try communicator.machineBarrier()
      return (0..<slices.last!.upperBound).allSatisfy { array[$0] == ($0 < 5 ? 0 : Float(100 + $0)) }
    }
    #expect(isRight.allSatisfy { $0 })
  }

  /// Several results, and a width that is no multiple of a vector.
  @Test(arguments: [1, 8, 1_701]) func additionOfRows(width: Int) {
    let leaves: [[Double]] = (0..<6).map { Self.values($0, width) }
    let schedule = SumSchedule(ShardTree(count: 8), (1..<7).map { $0..<$0 + 1 })
    var sums = [Double](repeating: .nan, count: width * schedule.results.count)
    TreeSum.add(schedule, rows: Array(leaves.joined()), width: width, into: &sums)
    let results = schedule.results.indices.map { Array(sums[$0 * width..<($0 + 1) * width]) }
    let all = [[Double](repeating: 0, count: width)] + leaves
    for (result, node) in zip(results, [1..<2, 2..<4, 4..<6, 6..<7]) {
      #expect(result == Self.definition(all, node.lowerBound, node.upperBound), "\(node)")
    }
  }
}
