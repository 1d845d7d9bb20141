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
  private let rows: AlignedBuffer<Double>
  private let gathered: AlignedBuffer<Double>
  /// Each worker's totals of the groups it has pieces of; row 0 belongs to its first group.
  private let totals: [AlignedBuffer<Double>]

  package init(_ statistics: Statistics, width: Int, _ target: CompileTarget) {
    self.statistics = statistics
    self.width = width
    let rank = target.rank
    func most(_ count: (BatchPartition, StatisticGroups) -> Int) -> Int {
      target.partitions.map { count($0, $0.groups(statistics)) }.max() ?? 0
    }
    rows = AlignedBuffer(count: width * most { $1.pieceCount(in: $0.shards(ofRank: rank)) })
    gathered = AlignedBuffer(count: width * most { $1.travellingNodes })
    totals = (0..<target.workers).map { worker in
      AlignedBuffer(count: width * most { $1.groupsOfWorker[rank * target.workers + worker].count })
    }
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
    let first = worker.groups(statistics).lowerBound
    return UnsafePointer(totals[worker.index].start + (group - first) * width)
  }

  /// Makes the totals from all workers' rows. One message per rank, whatever the number of groups.
  package func allReduce(_ worker: Worker) throws {
    let groups = worker.partition.groups(statistics)
    if groups.spansWorkers { try worker.barrier.wait() }
    if groups.spansRanks {
      if worker.index == 0 { try gather(worker) }
      try worker.barrier.wait()
    }
    let mine = worker.groups(statistics)
    var node = 0
    for (number, group) in groups.groups.enumerated() {
      defer { node += group.spansRanks ? group.ranks.rootCount : 0 }
      guard mine.contains(number) else { continue }
      let total = totals[worker.index].start + (number - mine.lowerBound) * width
      if group.spansRanks {
        fold(group.ranks.schedule, (node..<node + group.ranks.rootCount).map { gathered.start + $0 * width }, total)
      } else {
        fold(group.schedule, group.shards.map { row($0, number, worker) }, total)
      }
    }
  }

  private func fold(
    _ schedule: SumSchedule, _ sources: [UnsafeMutablePointer<Double>], _ total: UnsafeMutablePointer<Double>
  ) {
    TreeSum.fold(schedule, sources.map { UnsafePointer($0) }, 0..<width) { _, offset, sums in
      (total + offset).update(from: sums.baseAddress!, count: sums.count)
    }
  }

  /// Sends this rank's nodes of the groups that span ranks, and receives the others'.
  private func gather(_ worker: Worker) throws {
    let communicator = worker.communicator
    let groups = worker.partition.groups(statistics)
    let spanning = groups.groups.enumerated().filter { $0.element.spansRanks }
    // Messages are laid out rank by rank, totals need group by group; with one group, which is the rule, both agree.
    let counts = (0..<communicator.size).map { rank in
      spanning.reduce(0) { $0 + $1.element.ranks.roots[rank].count }
    }
    let message = AlignedBuffer<Double>(count: counts.reduce(0, +) * width)
    var next = counts[..<communicator.rank].reduce(0, +)
    let mine = worker.partition.shards(ofRank: communicator.rank)
    for (number, group) in spanning {
      let run = mine.clamped(to: group.shards)
      let local = SumSchedule(
        ShardTree(count: group.shards.count),
        run.map { $0 - group.shards.lowerBound..<$0 - group.shards.lowerBound + 1 })
      let sources = run.map { UnsafePointer(row($0, number, worker)) }
      let first = next
      TreeSum.fold(local, sources, 0..<width) { root, offset, sums in
        (message.start + (first + root) * width + offset).update(from: sums.baseAddress!, count: sums.count)
      }
      next += local.results.count
    }
    try communicator.allGather(
      UnsafeMutableRawBufferPointer(message.elements), counts: counts.map { $0 * width * MemoryLayout<Double>.size })
    var source = 0
    for rank in 0..<communicator.size {
      var node = 0
      for (_, group) in spanning {
        let target = node + group.ranks.firstRoot(of: rank)
        let count = group.ranks.roots[rank].count
        (gathered.start + target * width).update(from: message.start + source * width, count: count * width)
        source += count
        node += group.ranks.rootCount
      }
    }
  }
}
