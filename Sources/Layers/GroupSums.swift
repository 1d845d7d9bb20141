import Collectives
import Tensors

/// Sums over groups of samples: batch norm's moments and gradient sums, the loss.
///
/// Workers add to the rows of their pieces, meet in `allReduce`, and read totals.
///
/// Sendable: until the workers have met, a row belongs to the worker that owns its shard, a stolen slice's to whoever
/// computes it and then to the owner; after that they are read-only.
package final class GroupSums: @unchecked Sendable {
  /// The number of the kind of statistics.
  package let kind: Int
  /// Doubles per row.
  package let width: Int
  /// One row per piece of this rank, then those of stolen slices. The pieces of a group follow one upon the other.
  private let rows: AlignedBuffer<Double>
  /// The nodes of all ranks of the group being reduced.
  private let nodes: AlignedBuffer<Double>
  /// Totals of the groups that span ranks, by group.
  private let shared: AlignedBuffer<Double>
  /// Totals of the other groups, by worker and group; row 0 belongs to the worker's first group.
  private let own: SharedArray<AlignedBuffer<Double>>

  package init(_ statistics: Statistics, width: Int, _ target: CompileTarget) {
    kind = target.partitions[0].kind(statistics)
    self.width = width
    let rank = target.rank
    func buffer(_ rows: (BatchPartition, StatisticGroups) -> Int) -> AlignedBuffer<Double> {
      AlignedBuffer(count: width * (target.partitions.map { rows($0, $0.groups(statistics)) }.max() ?? 0))
    }
    rows = buffer { $1.pieceCount(in: $0.shards(ofRank: rank)) + target.workers * Route.mostStolen }
    nodes = buffer { $1.groups.map(\.ranks.rootCount).max() ?? 0 }
    shared = buffer { $1.spansRanks ? $1.groups.count : 0 }
    own = SharedArray(
      (0..<target.workers).map { worker in buffer { $1.groupsOfWorker[rank * target.workers + worker].count } })
  }

  /// The groups whose totals a worker gets.
  package func groups(_ worker: Worker) -> Range<Int> { worker.route.kind(kind).groups }

  /// The row of a piece.
  package func row(_ piece: Piece) -> UnsafeMutablePointer<Double> { rows.start + piece.rows[kind] * width }

  /// Zeroes the rows of a worker's pieces.
  package func clear(_ worker: Worker) {
    let mine = worker.route.kind(kind).rows
    (rows.start + mine.lowerBound * width).update(repeating: 0, count: mine.count * width)
  }

  /// Zeroes the rows of a stolen slice.
  package func clear(_ stolen: Slice) {
    for piece in stolen.pieces { row(piece).update(repeating: 0, count: width) }
  }

  /// Adds the rows of a stolen slice to those that its owner would have added to.
  package func add(_ stolen: Slice, to slice: Slice) {
    for (piece, own) in zip(stolen.pieces, slice.pieces) {
      let (from, to) = (row(piece), row(own))
      for i in 0..<width { to[i] += from[i] }
    }
  }

  /// The sums over a group, after `allReduce`.
  package func total(group: Int, _ worker: Worker) -> UnsafePointer<Double> {
    UnsafePointer(mutableTotal(group, worker))
  }

  private func mutableTotal(_ group: Int, _ worker: Worker) -> UnsafeMutablePointer<Double> {
    let kind = worker.route.kind(kind)
    if kind[group].spansRanks { return shared.start + group * width }
    return own.with(worker.index) { $0.start } + (group - kind.groups.lowerBound) * width
  }

  /// Makes the totals from all workers' rows, which they have announced.
  ///
  /// A group that spans ranks costs one message per rank. With `sync` there is one group; of smaller groups, only those
  /// that straddle a border between ranks need any.
  package func allReduce(_ worker: Worker) throws {
    let kind = worker.route.kind(kind)
    if kind.spansWorkers { try worker.meetIfNeeded() }
    if kind.spansRanks {
      if worker.index == 0 { try reduceAcrossRanks(worker) }
      if kind.joinsRanks { worker.noteRanksMet() }
      try worker.meet()
    }
    for group in kind.groups where !kind[group].spansRanks {
      kind[group].addUp(rows.start, width: width, into: mutableTotal(group, worker))
    }
  }

  private func reduceAcrossRanks(_ worker: Worker) throws {
    for (number, group) in worker.route.partition.groups[kind].groups.enumerated() where group.spansRanks {
      try reduceAcrossRanks(number, group, worker)
    }
  }

  private func reduceAcrossRanks(_ number: Int, _ group: StatisticGroups.Group, _ worker: Worker) throws {
    let rank = worker.communicator.rank
    let mine = worker.route.partition.shards(ofRank: rank).clamped(to: group.shards)
    let first = nodes.start + group.ranks.firstRoot(of: rank) * width
    if !mine.isEmpty {
      TreeSum.add(group.rankSchedules[rank], rows: firstRow(number, mine, worker), width: width, into: first)
    }
    try worker.communicator.allReduce(
      UnsafeMutableBufferPointer(start: nodes.start, count: group.ranks.rootCount * width), width: width, group.ranks,
      sum: shared.start + number * width)
  }

  /// The row of a group's piece in the first of some shards of this rank.
  private func firstRow(_ group: Int, _ shards: Range<Int>, _ worker: Worker) -> UnsafePointer<Double> {
    let partition = worker.route.partition
    let first = partition.shards(ofRank: worker.communicator.rank).lowerBound
    let row = partition.groups[kind].piece(shard: shards.lowerBound, group: group, from: first)
    return UnsafePointer(rows.start + row * width)
  }
}
