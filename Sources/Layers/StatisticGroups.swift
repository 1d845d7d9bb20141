import Collectives
import Tensors

/// The groups of samples over which statistics are taken, and how the sums of one are put together.
///
/// A group is a run of samples; the part of it in one shard is a piece. A worker sums its pieces, and a group's sum is
/// made of its pieces in the order of a tree over the shards it touches, so that a group has the same bits whoever
/// computes its pieces.
package final class StatisticGroups: Sendable {
  /// A class, as is all that workers look at in every step: one reference to count, not one per array in it.
  package final class Group: Sendable {
    package let samples: Range<Int>
    /// The shards it touches.
    package let shards: Range<Int>
    /// How the pieces add up, if one rank has them all.
    let schedule: SumSchedule
    /// How each rank's pieces add up to its nodes, and those across ranks.
    let rankSchedules: [SumSchedule]
    let ranks: TreePartition
    let spansRanks: Bool

    fileprivate init(
      samples: Range<Int>, shards: Range<Int>, schedule: SumSchedule, rankSchedules: [SumSchedule],
      ranks: TreePartition, spansRanks: Bool
    ) {
      (self.samples, self.shards, self.schedule) = (samples, shards, schedule)
      (self.rankSchedules, self.ranks, self.spansRanks) = (rankSchedules, ranks, spansRanks)
    }
  }

  package let groups: [Group]
  /// The groups with a piece in each shard.
  package let groupsOfShard: [Range<Int>]
  /// The groups whose first piece is in each shard.
  let groupsStartingInShard: [Range<Int>]
  /// The groups whose sums each worker wants: those with a piece among its shards; of `sync` statistics the one group.
  package let groupsOfWorker: [Range<Int>]
  /// The number of pieces in all shards before each one, and in all.
  private let piecesBefore: [Int]
  /// Whether any group needs several workers.
  package let spansWorkers: Bool
  /// Whether any group needs several ranks.
  package let spansRanks: Bool
  /// Whether any group needs all ranks.
  let joinsRanks: Bool

  init(_ statistics: Statistics, globalCount: Int, shards: Int, grid: WorkerGrid) {
    let shardSamples = (0..<shards).map {
      BatchPartition.samples(ofShard: $0, globalCount: globalCount, shards: shards)
    }
    /// The shards with some of the samples.
    func touched(_ samples: Range<Int>) -> Range<Int> {
      let first = shardSamples.firstIndex { $0.upperBound > samples.lowerBound }!
      let last = shardSamples.lastIndex { $0.lowerBound < samples.upperBound && !$0.isEmpty }!
      return first..<last + 1
    }
    let runs: [(samples: Range<Int>, shards: Range<Int>)]
    switch statistics {
    case .sync:
      runs = [(0..<globalCount, 0..<shards)]
    case .local:
      runs = (0..<grid.workers).compactMap { worker in
        let run = grid.shards(ofWorker: worker, of: shards)
        guard let first = run.first, let last = run.last else { return nil }
        let samples = shardSamples[first].lowerBound..<shardSamples[last].upperBound
        return samples.isEmpty ? nil : (samples, run)
      }
    case .ghost(let count):
      runs = stride(from: 0, to: globalCount, by: count).map { start in
        let samples = start..<min(start + count, globalCount)
        return (samples, touched(samples))
      }
    case .frozen:
      invariantFailure("frozen statistics are taken over no samples")
    }
    /// Whether every worker wants the sums, also one that has nothing to add.
    let isGlobal = statistics == .sync
    let groups = runs.map { Self.group($0.samples, $0.shards, shards: shards, grid: grid, isGlobal: isGlobal) }
    self.groups = groups
    let groupsOfShard = (0..<shards).map { shard in
      let first = groups.firstIndex { $0.shards.contains(shard) } ?? 0
      let last = groups.lastIndex { $0.shards.contains(shard) } ?? -1
      return first..<max(last + 1, first)
    }
    self.groupsOfShard = groupsOfShard
    groupsStartingInShard = groupsOfShard.enumerated().map { shard, run in
      // Only the first of them can have begun before.
      run.isEmpty || groups[run.lowerBound].shards.lowerBound == shard ? run : run.dropFirst()
    }
    groupsOfWorker = (0..<grid.workers).map { worker in
      if isGlobal { return 0..<1 }
      let ranges = grid.shards(ofWorker: worker, of: shards).map { groupsOfShard[$0] }.filter { !$0.isEmpty }
      guard let first = ranges.first, let last = ranges.last else { return 0..<0 }
      return first.lowerBound..<last.upperBound
    }
    piecesBefore = groupsOfShard.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    spansRanks = groups.contains { $0.spansRanks }
    joinsRanks = groups.contains { $0.spansRanks && $0.ranks.roots.allSatisfy { !$0.isEmpty } }
    spansWorkers =
      isGlobal
      ? grid.workers > 1
      : groups.contains { group in
        (0..<grid.workers).count { grid.shards(ofWorker: $0, of: shards).overlaps(group.shards) } > 1
      }
  }

  private static func group(
    _ samples: Range<Int>, _ touched: Range<Int>, shards: Int, grid: WorkerGrid, isGlobal: Bool
  ) -> Group {
    let tree = ShardTree(count: touched.count)
    let runs = (0..<grid.ranks).map { rank in
      let run = grid.shards(ofRank: rank, of: shards).clamped(to: touched)
      return run.lowerBound - touched.lowerBound..<run.upperBound - touched.lowerBound
    }
    func schedule(_ leaves: Range<Int>) -> SumSchedule { SumSchedule(tree, leaves.map { $0..<$0 + 1 }) }
    return Group(
      samples: samples, shards: touched, schedule: schedule(0..<touched.count),
      rankSchedules: runs.map(schedule), ranks: TreePartition(tree, runs: runs),
      spansRanks: isGlobal ? grid.ranks > 1 : runs.count { !$0.isEmpty } > 1)
  }

  /// The number of pieces in a run of shards.
  func pieceCount(in run: Range<Int>) -> Int { piecesBefore[run.upperBound] - piecesBefore[run.lowerBound] }

  /// The number of a shard's piece of a group among all pieces from a shard on.
  func piece(shard: Int, group: Int, from first: Int) -> Int {
    piecesBefore[shard] - piecesBefore[first] + group - groupsOfShard[shard].lowerBound
  }

  /// The group of one of a shard's samples.
  func group(of sample: Int, shard: Int) -> Int {
    guard let group = groupsOfShard[shard].first(where: { groups[$0].samples.contains(sample) }) else {
      invariantFailure("sample \(sample) is in no group")
    }
    return group
  }
}
