import Collectives
import Testing

/// The tree and its schedules against the recursive definition, on symbols that show every addition.
@Suite struct ShardTreeTests {
  /// sum(lo, hi) = sum(lo, m) + sum(m, hi), m - lo the largest power of two below hi - lo.
  static func definition(_ lo: Int, _ hi: Int) -> String {
    if hi - lo == 1 { return "\(lo)" }
    var extent = 1
    while 2 * extent < hi - lo { extent *= 2 }
    return "(\(definition(lo, lo + extent))+\(definition(lo + extent, hi)))"
  }

  /// What a schedule makes of its sources.
  static func results(_ schedule: SumSchedule, _ sources: [String]) -> [String] {
    var slots = [String](repeating: "?", count: schedule.slotCount)
    for step in schedule.steps {
      switch step {
      case .place(let source, let slot): slots[slot] = sources[source]
      case .merge(let slot): slots[slot] = "(\(slots[slot])+\(slots[slot + 1]))"
      }
    }
    return Array(slots.prefix(schedule.results.count))
  }

  @Test func allLeavesAddUpToTheDefinition() {
    for count in 1...40 {
      let schedule = SumSchedule(ShardTree(count: count), (0..<count).map { $0..<$0 + 1 })
      #expect(schedule.results == [0..<count])
      #expect(Self.results(schedule, (0..<count).map(String.init)) == [Self.definition(0, count)])
    }
  }

  /// One worker sums up a run of shards, another the next, the last one the rest; a schedule joins their nodes.
  @Test func everySplitIntoRunsGivesTheSameSum() {
    for count in 1...40 {
      let tree = ShardTree(count: count)
      let wrong = splits(count).first { sum(tree, $0) != Self.definition(0, count) }
      #expect(wrong == nil, "\(count) leaves")
    }
  }

  /// All splits into up to three runs, empty ones among them, and those of `WorkerGrid` into any number.
  private func splits(_ count: Int) -> [[Range<Int>]] {
    var splits = (1...12).map { workers in
      (0..<workers).map { $0 * count / workers..<($0 + 1) * count / workers }
    }
    for first in 0...count {
      for second in first...count { splits.append([0..<first, first..<second, second..<count]) }
    }
    return splits
  }

  private func sum(_ tree: ShardTree, _ runs: [Range<Int>]) -> String {
    var nodes: [String] = []
    for run in runs {
      let schedule = SumSchedule(tree, run.map { $0..<$0 + 1 })
      nodes += Self.results(schedule, run.map(String.init))
    }
    let partition = TreePartition(tree, runs: runs)
    guard partition.rootCount == nodes.count else { return "\(nodes.count) nodes, \(partition.rootCount) roots" }
    return Self.results(partition.schedule, nodes).joined(separator: ", ")
  }

  @Test func rootsAreNodesOfTheTree() {
    for count in 1...40 {
      let tree = ShardTree(count: count)
      for first in 0..<count {
        for end in first + 1...count {
          let run = first..<end
          let roots = tree.roots(of: run)
          let isWhole = Array(roots.joined()) == Array(run)
          let areNodes = roots.allSatisfy {
            Self.definition(0, count).contains(Self.definition($0.lowerBound, $0.upperBound))
          }
          if !isWhole || !areNodes || roots.count > 2 * max(1, logarithm(count)) {
            Issue.record("roots of \(run) in a tree of \(count): \(roots)")
          }
        }
      }
    }
  }

  @Test func alignedPowersOfTwoHaveOneRoot() {
    for exponent in 0...5 {
      let extent = 1 << exponent
      for number in 0..<4 {
        let run = number * extent..<(number + 1) * extent
        #expect(ShardTree(count: 4 * extent).roots(of: run) == [run])
      }
    }
    #expect(ShardTree(count: 8).roots(of: 1..<7) == [1..<2, 2..<4, 4..<6, 6..<7])
    #expect(ShardTree(count: 7).roots(of: 4..<7) == [4..<7])
    #expect(ShardTree(count: 5).roots(of: 2..<2).isEmpty)
  }

  private func logarithm(_ count: Int) -> Int { (0...).first { 1 << $0 >= count }! }
}
