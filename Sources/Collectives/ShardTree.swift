/// The fixed binary tree in which everything that is a sum over shards is added up.
///
///     sum(lo, hi) = sum(lo, m) + sum(m, hi),  m - lo the largest power of two below hi - lo
///
/// Who computes a node does not change its value, so neither the number of workers nor which shards each one owns
/// changes the total. A node is an aligned run [k*2^j, (k+1)*2^j), cut off at `count`.
package struct ShardTree: Hashable, Sendable {
  /// The number of leaves.
  package let count: Int

  package init(count: Int) {
    self.count = count
  }

  /// Whether the two nodes are the children of one node.
  package func areSiblings(_ left: Range<Int>, _ right: Range<Int>) -> Bool {
    let extent = left.count
    return left.upperBound == right.lowerBound
      && extent & (extent - 1) == 0
      && left.lowerBound % (2 * extent) == 0
      && right.upperBound == min(left.lowerBound + 2 * extent, count)
  }

  /// The fewest nodes that make up a run of leaves, from left to right: at most 2 log2(count) of them, and one if the
  /// run is a power of two long and starts at a multiple of its length.
  package func roots(of run: Range<Int>) -> [Range<Int>] {
    SumSchedule(self, run.map { $0..<$0 + 1 }).results
  }
}

/// The order of additions that turns a sequence of nodes, from left to right or from right to left, into the fewest nodes.
///
/// A stack: every source is placed on top, and as long as the two topmost nodes are siblings, the upper is added to the
/// lower. The result lies in the slots 0 ..< results.count.
package struct SumSchedule: Hashable, Sendable {
  package enum Step: Hashable, Sendable {
    /// Place the source on the stack, in that slot.
    case place(source: Int, slot: Int)
    /// slot += slot + 1.
    case merge(slot: Int)
  }

  package let steps: [Step]
  /// For each source, how many merges follow it.
  package let merges: [Int]
  /// The nodes that remain.
  package let results: [Range<Int>]
  /// The stack's greatest depth.
  package let slotCount: Int

  package init(_ tree: ShardTree, _ sources: [Range<Int>]) {
    var steps: [Step] = []
    var merges: [Int] = []
    var stack: [Range<Int>] = []
    var deepest = 0
    for (source, node) in sources.enumerated() {
      steps.append(.place(source: source, slot: stack.count))
      merges.append(0)
      stack.append(node)
      deepest = max(deepest, stack.count)
      while stack.count > 1 {
        let (below, top) = (stack[stack.count - 2], stack[stack.count - 1])
        guard tree.areSiblings(below, top) || tree.areSiblings(top, below) else { break }
        stack.removeLast(2)
        stack.append(min(below.lowerBound, top.lowerBound)..<max(below.upperBound, top.upperBound))
        steps.append(.merge(slot: stack.count - 1))
        merges[source] += 1
      }
    }
    self.steps = steps
    self.merges = merges
    self.results = stack
    self.slotCount = deepest
  }
}

/// How a run of shards adds up to its nodes, begun at either end. Both ways give the same bits.
package struct RunSum: Sendable {
  package let ascending: SumSchedule
  /// The same from the last shard to the first; its results, too, come last to first.
  package let descending: SumSchedule

  package init(_ tree: ShardTree, _ run: Range<Int>) {
    let leaves = run.map { $0..<$0 + 1 }
    ascending = SumSchedule(tree, leaves)
    descending = SumSchedule(tree, leaves.reversed())
  }

  /// The run's nodes, from left to right.
  package var nodes: [Range<Int>] { ascending.results }

  /// The slots that either way takes at most.
  package var slotCount: Int { max(ascending.slotCount, descending.slotCount) }
}
