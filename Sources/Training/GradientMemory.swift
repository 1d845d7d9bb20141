import Collectives
import Tensors

/// The memory of parameter gradients: for each segment, an array per node of each worker of this machine, which all of them
/// read.
///
/// The segments take turns in two places, because a worker may begin one while others still read the one before. Where
/// workers have parameters of their own, the first of a worker's arrays is the one that will hold them.
final class GradientMemory {
  private let memory: SharedMemory
  private let parameters: ParameterMemory
  private let machine: [Int]
  /// The nodes of each worker of each of the machine's ranks.
  private let nodeCounts: [[Int]]
  /// The parameters of each segment.
  private let ranges: [Range<Int>]
  /// Which of the two places a segment takes.
  private let sides: [Int]
  /// The Floats of an array in either place.
  private let counts: [Int]
  /// The number of a worker's first array that is here.
  private let first: Int
  /// The arrays of each of the machine's ranks that are here.
  private let arrayCounts: [Int]

  /// - Parameters:
  ///   - ranges: the parameters of each segment.
  ///   - nodeCounts: the nodes of each worker of each of the machine's ranks.
  init(_ ranges: [Range<Int>], nodeCounts: [[Int]], _ parameters: ParameterMemory, _ communicator: any Communicator)
    throws
  {
    (self.ranges, self.nodeCounts, machine) = (ranges, nodeCounts, communicator.machine)
    self.parameters = parameters
    // At a segment without parameters ranks do not meet; it takes no turn.
    let sides = ranges.indices.map { ranges[..<$0].count { !$0.isEmpty } % 2 }
    counts = (0..<2).map { side in
      paddedCount(zip(ranges, sides).filter { $0.1 == side }.map(\.0.count).max() ?? 0)
    }
    self.sides = sides
    let first = parameters.isReplicated ? 1 : 0
    self.first = first
    arrayCounts = nodeCounts.map { $0.reduce(0) { $0 + max(0, $1 - first) } }
    let mine = arrayCounts[machine.firstIndex(of: communicator.rank)!]
    memory = try communicator.share(bytes: mine * (counts[0] + counts[1]) * MemoryLayout<Float>.size)
  }

  /// The arrays of the nodes of a rank's workers, by worker, addressed from where the flat array of all parameters would
  /// start; nil if the rank is on another machine.
  ///
  /// - Parameter turn: which of a worker's arrays holds the parameters.
  func arrays(ofRank rank: Int, segment: Int, turn: Int) -> [[UnsafeMutablePointer<Float>]]? {
    guard let index = machine.firstIndex(of: rank) else { return nil }
    let side = sides[segment]
    var next =
      memory.regions[index].assumingMemoryBound(to: Float.self) + side * arrayCounts[index] * counts[0]
      - ranges[segment].lowerBound
    return nodeCounts[index].enumerated().map { worker, count in
      (0..<count).map { node in
        if node < first { return parameters.array(ofWorker: worker, rank: rank, turn: 1 - turn) }
        defer { next += counts[side] }
        return next
      }
    }
  }
}
