import Collectives
import Tensors

/// The memory of parameter gradients: for each segment, an array per node of each rank of this machine, which all of them
/// read.
///
/// The segments take turns in two places, because a worker may begin one while others still read the one before.
final class GradientMemory {
  private let memory: SharedMemory
  private let machine: [Int]
  /// The nodes of each of the machine's ranks.
  private let nodeCounts: [Int]
  /// The parameters of each segment.
  private let ranges: [Range<Int>]
  /// Which of the two places a segment takes.
  private let sides: [Int]
  /// The Floats of an array in either place.
  private let counts: [Int]

  /// - Parameters:
  ///   - ranges: the parameters of each segment.
  ///   - nodeCounts: the nodes of each of the machine's ranks.
  init(_ ranges: [Range<Int>], nodeCounts: [Int], _ communicator: any Communicator) throws {
    (self.ranges, self.nodeCounts, machine) = (ranges, nodeCounts, communicator.machine)
    // At a segment without parameters ranks do not meet; it takes no turn.
    let sides = ranges.indices.map { ranges[..<$0].count { !$0.isEmpty } % 2 }
    counts = (0..<2).map { side in
      paddedCount(zip(ranges, sides).filter { $0.1 == side }.map(\.0.count).max() ?? 0)
    }
    self.sides = sides
    let mine = nodeCounts[machine.firstIndex(of: communicator.rank)!]
    memory = try communicator.share(bytes: mine * (counts[0] + counts[1]) * MemoryLayout<Float>.size)
  }

  /// The arrays of a rank's nodes, addressed from where the flat array of all parameters would start; nil if the rank is on
  /// another machine.
  func arrays(ofRank rank: Int, segment: Int) -> [UnsafeMutablePointer<Float>]? {
    guard let index = machine.firstIndex(of: rank) else { return nil }
    let (side, count) = (sides[segment], nodeCounts[index])
    let first = memory.regions[index].assumingMemoryBound(to: Float.self) + side * count * counts[0]
    return (0..<count).map { first + $0 * counts[side] - ranges[segment].lowerBound }
  }
}
