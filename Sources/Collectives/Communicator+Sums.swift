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
    TreeSum.add(partition.schedule, rows: nodes.baseAddress!, width: width, into: sum)
  }

  /// Gives every rank its slice of the arrays of nodes that are on other machines, ready to be added up in the tree's order.
  ///
  /// The first half of a reduce-scatter; the second is an addition in the partition's schedule, which a rank's
  /// workers share. With one root per rank each rank sends its slice of one array to every rank of another machine.
  ///
  /// - Parameters:
  ///   - arrays: one array for each of this rank's roots.
  ///   - slices: each rank's slice of the arrays.
  ///   - received: row i is the rank's own slice of node i of all ranks, untouched for nodes of this machine; rows are
  ///     `slices[rank].count` long.
  package func exchangeSlices(
    of arrays: [UnsafePointer<Float>], _ partition: TreePartition, slices: [Range<Int>],
    received: UnsafeMutablePointer<Float>
  ) throws {
    let row = slices[rank].count * MemoryLayout<Float>.size
    let machine = machine
    let first = slices[0].lowerBound
    for root in 0..<(partition.roots.map(\.count).max() ?? 0) {
      let isMine = root < arrays.count
      try allToAll(
        send: isMine ? UnsafeRawPointer(arrays[root] + first) : nil,
        parts: slices.enumerated().map { receiver, slice in
          isMine && !machine.contains(receiver) ? bytes(slice, from: first) : 0..<0
        },
        receive: received,
        parts: (0..<size).map { sender in
          guard root < partition.roots[sender].count, !machine.contains(sender) else { return 0..<0 }
          let start = (partition.firstRoot(of: sender) + root) * row
          return start..<start + row
        })
    }
  }

  /// Completes an array that this machine's ranks share from the slices of ranks on other machines.
  ///
  /// Every slice comes to a machine once, and its ranks take turns in receiving.
  package func gatherSlices(_ array: UnsafeMutablePointer<Float>, slices: [Range<Int>]) throws {
    let machine = machine
    let first = slices[0].lowerBound
    func receives(_ receiver: Int, on machine: [Int], from sender: Int) -> Bool {
      !machine.contains(sender) && machine[sender % machine.count] == receiver
    }
    try allToAll(
      send: array + first,
      parts: machines.reduce(into: Array(repeating: 0..<0, count: size)) { parts, other in
        for receiver in other where receives(receiver, on: other, from: rank) {
          parts[receiver] = bytes(slices[rank], from: first)
        }
      },
      receive: array + first,
      parts: slices.enumerated().map { sender, slice in
        receives(rank, on: machine, from: sender) ? bytes(slice, from: first) : 0..<0
      })
  }

  /// Where a slice of Floats lies, in bytes. MPI counts those in Int32, so that they must not count from the whole model's
  /// beginning.
  private func bytes(_ slice: Range<Int>, from first: Int) -> Range<Int> {
    let element = MemoryLayout<Float>.size
    return (slice.lowerBound - first) * element..<(slice.upperBound - first) * element
  }
}
