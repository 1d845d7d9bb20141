/// Sums whose value does not depend on the number of ranks: they follow the shard tree.
extension Communicator {
  /// Replaces every rank's table by the sum over all shards.
  ///
  /// Only the roots of the rank's run travel; every rank then adds them up in the tree's order. For w words and one root
  /// per rank: one message of 8 w bytes from each rank to all.
  ///
  /// - Parameters:
  ///   - nodes: one row of `width` numbers per node of all ranks; this rank's rows are filled in.
  ///   - sum: the total, `width` numbers.
  package func allReduce(
    _ nodes: UnsafeMutableBufferPointer<Double>, width: Int, _ partition: TreePartition,
    sum: UnsafeMutablePointer<Double>
  ) throws {
    try allGather(
      UnsafeMutableRawBufferPointer(nodes), counts: partition.roots.map { $0.count * width * MemoryLayout<Double>.size }
    )
    TreeSum.sum(partition.schedule, rows: nodes.baseAddress!, width: width, into: sum)
  }

  /// Gives every rank its slice of every node's array, ready to be added up in the tree's order.
  ///
  /// The first half of a reduce-scatter; the second is `TreeSum.fold` with the partition's schedule, which a rank's
  /// workers share. With one root per rank each rank sends (p-1)/p of one array, as an ordinary reduce-scatter does.
  ///
  /// - Parameters:
  ///   - arrays: one array for each of this rank's roots.
  ///   - slices: each rank's slice of the arrays.
  ///   - received: row i is the rank's own slice of node i of all ranks; rows are `slices[rank].count` long.
  package func exchangeSlices(
    of arrays: [UnsafePointer<Float>], _ partition: TreePartition, slices: [Range<Int>],
    received: UnsafeMutablePointer<Float>
  ) throws {
    let element = MemoryLayout<Float>.size
    let row = slices[rank].count * element
    // MPI counts a message's bytes in Int32, so that addresses must not count from the whole model's beginning.
    let first = slices[0].lowerBound
    for root in 0..<(partition.roots.map(\.count).max() ?? 0) {
      let isMine = root < arrays.count
      try allToAll(
        send: isMine ? UnsafeRawPointer(arrays[root] + first) : nil,
        parts: slices.map { isMine ? ($0.lowerBound - first) * element..<($0.upperBound - first) * element : 0..<0 },
        receive: received,
        parts: (0..<size).map { sender in
          guard root < partition.roots[sender].count else { return 0..<0 }
          let start = (partition.firstRoot(of: sender) + root) * row
          return start..<start + row
        })
    }
  }

  /// Sums the arrays of all shards; each rank ends with its slice of the total.
  package func reduceScatter(
    _ arrays: [UnsafePointer<Float>], _ partition: TreePartition, slices: [Range<Int>],
    sum: UnsafeMutablePointer<Float>
  ) throws {
    let count = slices[rank].count
    try withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, count * partition.rootCount)) { received in
      let start = received.baseAddress!
      try exchangeSlices(of: arrays, partition, slices: slices, received: start)
      TreeSum.sum(partition.schedule, rows: start, width: count, into: sum)
    }
  }
}
