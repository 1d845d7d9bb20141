import Collectives
import Tensors

/// Sums over groups of samples: batch norm's moments and gradient sums, the loss.
///
/// Workers add to the rows of their pieces, meet in `allReduce`, and read totals.
///
/// Sendable: a row belongs to the worker that owns its shard until the workers have met, and is read-only after.
package final class GroupSums: @unchecked Sendable {
  package let statistics: Statistics
  /// Doubles per row.
  package let width: Int
  /// One row per piece of this rank.
  private let rows: AlignedBuffer<Double>
  /// The nodes of all ranks of the group being reduced.
  private let nodes: AlignedBuffer<Double>
  /// Totals of the groups that span ranks, by group.
  private let shared: AlignedBuffer<Double>
  /// Totals of the other groups, by worker and group; row 0 belongs to the worker's first group.
  private let own: [AlignedBuffer<Double>]

  package init(_ statistics: Statistics, width: Int, _ target: CompileTarget) {
    self.statistics = statistics
    self.width = width
    let rank = target.rank
    func buffer(_ rows: (BatchPartition, StatisticGroups) -> Int) -> AlignedBuffer<Double> {
      AlignedBuffer(count: width * (target.partitions.map { rows($0, $0.groups(statistics)) }.max() ?? 0))
    }
    rows = buffer { $1.pieceCount(in: $0.shards(ofRank: rank)) }
    nodes = buffer { $1.groups.map(\.ranks.rootCount).max() ?? 0 }
    shared = buffer { $1.spansRanks ? $1.groups.count : 0 }
    own = (0..<target.workers).map { worker in buffer { $1.groupsOfWorker[rank * target.workers + worker].count } }
  }

  /// The row of a shard's piece of a group.
  package func row(_ shard: Shard, group: Int) -> UnsafeMutablePointer<Double> {
    row(shard.number, group, shard.worker)
  }

  private func row(_ shard: Int, _ group: Int, _ worker: Worker) -> UnsafeMutablePointer<Double> {
    let groups = worker.partition.groups(statistics)
    let first = worker.partition.shards(ofRank: worker.communicator.rank).lowerBound
    let piece = groups.pieceCount(in: first..<shard) + group - groups.groupsOfShard[shard].lowerBound
    return rows.start + piece * width
  }

  /// Zeroes the rows of a shard's pieces.
  package func clear(_ shard: Shard) {
    for group in shard.groups(statistics) { row(shard, group: group).update(repeating: 0, count: width) }
  }

  /// The sums over a group, after `allReduce`.
  package func total(group: Int, _ worker: Worker) -> UnsafePointer<Double> {
    UnsafePointer(mutableTotal(group, worker))
  }

  private func mutableTotal(_ group: Int, _ worker: Worker) -> UnsafeMutablePointer<Double> {
    if worker.partition.groups(statistics).groups[group].spansRanks { return shared.start + group * width }
    return own[worker.index].start + (group - worker.groups(statistics).lowerBound) * width
  }

  /// Makes the totals from all workers' rows.
  ///
  /// A group that spans ranks costs one message per rank. With `sync` there is one group; of smaller groups, only those
  /// that straddle a border between ranks need any.
  package func allReduce(_ worker: Worker) throws {
    let groups = worker.partition.groups(statistics)
    if groups.spansWorkers { try worker.barrier.wait() }
    if groups.spansRanks {
      if worker.index == 0 {
        for (number, group) in groups.groups.enumerated() where group.spansRanks {
          try reduceAcrossRanks(number, group, worker)
        }
      }
      try worker.barrier.wait()
    }
    for number in worker.groups(statistics) where !groups.groups[number].spansRanks {
      let group = groups.groups[number]
      let total = mutableTotal(number, worker)
      TreeSum.fold(group.schedule, group.shards.map { UnsafePointer(row($0, number, worker)) }, 0..<width) {
        (total + $1).update(from: $2.baseAddress!, count: $2.count)
      }
    }
  }

  private func reduceAcrossRanks(_ number: Int, _ group: StatisticGroups.Group, _ worker: Worker) throws {
    let rank = worker.communicator.rank
    let mine = worker.partition.shards(ofRank: rank).clamped(to: group.shards)
    let leaves = mine.map { $0 - group.shards.lowerBound..<$0 - group.shards.lowerBound + 1 }
    let first = nodes.start + group.ranks.firstRoot(of: rank) * width
    TreeSum.fold(
      SumSchedule(ShardTree(count: group.shards.count), leaves),
      mine.map { UnsafePointer(row($0, number, worker)) }, 0..<width
    ) {
      (first + $0 * width + $1).update(from: $2.baseAddress!, count: $2.count)
    }
    try worker.communicator.allReduce(
      UnsafeMutableBufferPointer(start: nodes.start, count: group.ranks.rootCount * width), width: width, group.ranks,
      sum: mutableTotal(number, worker))
  }
}
