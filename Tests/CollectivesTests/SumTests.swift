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

  @Test(arguments: 1...5) func reduceScatter(ranks: Int) throws {
    for shards in [1, 3, 5, 7, 8] {
      for count in [1, 2, 600, 1543] {
        let leaves: [[Float]] = (0..<shards).map { Self.values($0, count) }
        let partition = TreePartition(ShardTree(count: shards), runs: Self.runs(ranks, of: shards))
        // Uneven slices; with few elements some are empty.
        let slices = (0..<ranks).map {
          $0 * $0 * count / (ranks * ranks)..<($0 + 1) * ($0 + 1) * count / (ranks * ranks)
        }
        let parts = try asRanks(ranks) { communicator in
          let arrays = Self.nodes(leaves, partition, communicator.rank).map { node in
            let buffer = AlignedBuffer<Float>(count: count)
            buffer.start.update(from: node, count: count)
            return buffer
          }
          let sum = AlignedBuffer<Float>(count: slices[communicator.rank].count)
          try withExtendedLifetime(arrays) {
            try communicator.reduceScatter(
              arrays.map { UnsafePointer($0.start) }, partition, slices: slices, sum: sum.start)
          }
          return Array(sum.elements)
        }
        let isEqual = parts.joined().map(\.bitPattern) == Self.definition(leaves, 0, shards).map(\.bitPattern)
        #expect(isEqual, "\(ranks) ranks, \(shards) shards, \(count) elements")
      }
    }
  }

  /// A fold over part of the arrays, with several results, in chunks.
  @Test func foldOfARange() {
    let leaves: [[Float]] = (0..<6).map { Self.values($0, 2000) }
    let schedule = SumSchedule(ShardTree(count: 8), (1..<7).map { $0..<$0 + 1 })
    var results = [[Float]](repeating: Array(repeating: .nan, count: 2000), count: schedule.results.count)
    let buffers = leaves.map { leaf in
      let buffer = AlignedBuffer<Float>(count: 2000)
      buffer.start.update(from: leaf, count: 2000)
      return buffer
    }
    withExtendedLifetime(buffers) {
      TreeSum.fold(schedule, buffers.map { UnsafePointer($0.start) }, 37..<1700) { result, offset, sums in
        results[result].replaceSubrange(offset..<offset + sums.count, with: sums)
      }
    }
    let all = [[Float](repeating: 0, count: 2000)] + leaves
    for (result, node) in zip(results, [1..<2, 2..<4, 4..<6, 6..<7]) {
      let isEqual = Array(result[37..<1700]) == Array(Self.definition(all, node.lowerBound, node.upperBound)[37..<1700])
      let isUntouched = result[..<37].allSatisfy(\.isNaN) && result[1700...].allSatisfy(\.isNaN)
      #expect(isEqual && isUntouched, "\(node)")
    }
  }
}
