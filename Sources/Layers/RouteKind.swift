import Collectives
import Tensors

/// What a worker needs to know of one kind of statistics in a batch of one size: values alone, because objects count
/// references, hundreds of them in every step.
package struct RouteKind {
  /// The groups whose sums the worker wants.
  let groups: Range<Int>
  /// The worker's pieces among the rank's.
  let rows: Range<Int>
  /// The groups of the whole batch.
  let groupCount: Int
  /// Whether any group needs several workers.
  let spansWorkers: Bool
  /// Whether any group needs several ranks.
  let spansRanks: Bool
  /// Whether any group needs all ranks.
  let joinsRanks: Bool
  /// From the first of `groups` on.
  private let details: UnsafePointer<Group>
  /// The worker's shards, and from the first of them on the groups whose first piece is there.
  private let shards: Range<Int>
  private let starting: UnsafePointer<Range<Int>>

  /// One of the groups whose sums the worker wants.
  struct Group {
    /// Samples.
    let count: Int
    let spansRanks: Bool
    /// The row of the rank's first piece of it.
    let row: Int
    /// Kept alive by the partition.
    private let group: Unmanaged<StatisticGroups.Group>

    fileprivate init(_ group: StatisticGroups.Group, row: Int) {
      (count, spansRanks, self.row) = (group.samples.count, group.spansRanks, row)
      self.group = .passUnretained(group)
    }

    /// The sum over its rows, if the rank has all of them.
    func addUp(_ rows: UnsafePointer<Double>, width: Int, into sum: UnsafeMutablePointer<Double>) {
      group._withUnsafeGuaranteedRef { TreeSum.add($0.schedule, rows: rows + row * width, width: width, into: sum) }
    }
  }

  subscript(group: Int) -> Group { details[group - groups.lowerBound] }

  /// The groups whose first piece is in one of the worker's shards.
  func groups(startingIn shard: Int) -> Range<Int> { starting[shard - shards.lowerBound] }

  init(_ kind: StatisticGroups, _ partition: BatchPartition, _ worker: Worker) {
    let run = partition.shards(ofWorker: worker.number)
    let ofRank = partition.shards(ofRank: worker.communicator.rank)
    groups = kind.groupsOfWorker[worker.number]
    let first = kind.pieceCount(in: ofRank.lowerBound..<max(run.lowerBound, ofRank.lowerBound))
    rows = first..<first + kind.pieceCount(in: run)
    groupCount = kind.groups.count
    (spansWorkers, spansRanks, joinsRanks, shards) = (kind.spansWorkers, kind.spansRanks, kind.joinsRanks, run)
    details = Self.table(
      groups.map { number in
        let group = kind.groups[number]
        let touched = group.shards.clamped(to: ofRank)
        return Group(
          group,
          row: touched.isEmpty ? 0 : kind.piece(shard: touched.lowerBound, group: number, from: ofRank.lowerBound))
      })
    starting = Self.table(kind.groupsStartingInShard[run])
  }

  private static func table<Element>(_ elements: some Collection<Element>) -> UnsafePointer<Element> {
    UnsafePointer(UnsafeMutableBufferPointer.table(elements).baseAddress!)
  }

  func deallocate() {
    details.deallocate()
    starting.deallocate()
  }
}
