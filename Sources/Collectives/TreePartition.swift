/// Which rank holds which nodes of the shard tree, and how the nodes of all ranks add up.
package struct TreePartition: Hashable, Sendable {
  /// The nodes of each rank's run of shards.
  package let roots: [[Range<Int>]]
  /// How the nodes of all ranks, in rank order, become the total.
  package let schedule: SumSchedule

  /// - Parameter runs: each rank's run of shards, in rank order, together covering the tree.
  package init(_ tree: ShardTree, runs: [Range<Int>]) {
    let roots = runs.map { tree.roots(of: $0) }
    self.roots = roots
    schedule = SumSchedule(tree, roots.flatMap { $0 })
  }

  /// The number of nodes of all ranks.
  package var rootCount: Int { roots.reduce(0) { $0 + $1.count } }

  /// The number of the rank's first node among the nodes of all ranks.
  package func firstRoot(of rank: Int) -> Int { roots[..<rank].reduce(0) { $0 + $1.count } }
}
