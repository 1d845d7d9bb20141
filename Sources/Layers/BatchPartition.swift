import Collectives
import Tensors

/// Which samples batch norm's statistics are taken over.
public enum Statistics: Hashable, Sendable, CustomStringConvertible {
  /// The global batch, whoever computes it.
  case sync
  /// Each worker's own samples.
  case local
  /// Groups of that many consecutive samples of the global batch, whoever computes them.
  /// Hoffer, Hubara, Soudry 2017, arXiv:1705.08741.
  case ghost(Int)
  /// The running statistics; nothing is learned about the batch.
  case frozen

  public var description: String {
    switch self {
    case .sync: "sync"
    case .local: "local"
    case .ghost(let count): "ghost:\(count)"
    case .frozen: "frozen"
    }
  }
}

/// How many workers compute, and where they are: ranks x threads.
package struct WorkerGrid: Hashable, Sendable {
  package let ranks: Int
  package let threads: Int

  package init(ranks: Int, threads: Int) {
    self.ranks = ranks
    self.threads = threads
  }

  package var workers: Int { ranks * threads }

  /// The run of shards that a worker owns; workers are numbered rank by rank.
  package func shards(ofWorker worker: Int, of count: Int) -> Range<Int> {
    worker * count / workers..<(worker + 1) * count / workers
  }

  /// The run of shards that a rank's workers own.
  package func shards(ofRank rank: Int, of count: Int) -> Range<Int> {
    rank * threads * count / workers..<(rank + 1) * threads * count / workers
  }
}

/// How one global batch is divided: samples into shards, shards among workers.
///
/// Shards depend on the batch and the number of shards alone, workers on the machine; everything that decides bits
/// depends on shards.
package final class BatchPartition: Sendable {
  /// Samples of the global batch.
  package let globalCount: Int
  package let grid: WorkerGrid
  package let tree: ShardTree
  /// How the ranks' sums over shards add up.
  package let ranks: TreePartition
  /// The kinds of statistics for which the batch is divided. The global one comes first.
  package let kinds: [Statistics]
  /// The groups of samples of each kind.
  package let groups: [StatisticGroups]

  package init(globalCount: Int, shards: Int, grid: WorkerGrid, statistics: Set<Statistics>) {
    self.globalCount = globalCount
    self.grid = grid
    tree = ShardTree(count: shards)
    ranks = TreePartition(tree, runs: (0..<grid.ranks).map { grid.shards(ofRank: $0, of: shards) })
    kinds = [.sync] + statistics.subtracting([.sync, .frozen]).sorted { $0.description < $1.description }
    groups = kinds.map { StatisticGroups($0, globalCount: globalCount, shards: shards, grid: grid) }
  }

  package var shardCount: Int { tree.count }

  /// The samples of a shard: the first `globalCount % shardCount` shards have one more than the others.
  package func samples(ofShard shard: Int) -> Range<Int> {
    Self.samples(ofShard: shard, globalCount: globalCount, shards: shardCount)
  }

  static func samples(ofShard shard: Int, globalCount: Int, shards: Int) -> Range<Int> {
    let (quotient, rest) = globalCount.quotientAndRemainder(dividingBy: shards)
    let start = shard * quotient + min(shard, rest)
    return start..<start + quotient + (shard < rest ? 1 : 0)
  }

  /// The samples of a run of shards.
  package func samples(ofShards run: Range<Int>) -> Range<Int> {
    if run.isEmpty { return 0..<0 }
    return samples(ofShard: run.lowerBound).lowerBound..<samples(ofShard: run.upperBound - 1).upperBound
  }

  package func shards(ofWorker worker: Int) -> Range<Int> { grid.shards(ofWorker: worker, of: shardCount) }

  package func shards(ofRank rank: Int) -> Range<Int> { grid.shards(ofRank: rank, of: shardCount) }

  /// The samples that a rank's workers compute.
  package func samples(ofRank rank: Int) -> Range<Int> { samples(ofShards: shards(ofRank: rank)) }

  /// The most samples of one shard.
  package var largestShard: Int { samples(ofShard: 0).count }

  /// The kind's number.
  package func kind(_ statistics: Statistics) -> Int {
    guard let kind = kinds.firstIndex(of: statistics) else {
      invariantFailure("the batch was not divided for \(statistics) statistics")
    }
    return kind
  }

  package func groups(_ statistics: Statistics) -> StatisticGroups { groups[kind(statistics)] }
}
