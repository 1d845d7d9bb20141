import Collectives
import Kernels
import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// How a worker's samples are cut into slices and pieces, and where their gradients go.
@Suite struct RouteTests {
  struct Case: Sendable {
    let count: Int
    let shards: Int
    let ranks: Int
    let threads: Int
    let statistics: Set<Statistics>
  }

  static let cases = [
    Case(count: 128, shards: 8, ranks: 1, threads: 1, statistics: []),
    Case(count: 50, shards: 8, ranks: 3, threads: 1, statistics: [.local]),
    Case(count: 5, shards: 8, ranks: 1, threads: 3, statistics: [.ghost(2)]),
    Case(count: 29, shards: 7, ranks: 2, threads: 2, statistics: [.ghost(3), .local]),
    Case(count: 64, shards: 3, ranks: 5, threads: 1, statistics: []),
  ]

  private func routes(_ c: Case, sliceSizes: [Int]) throws -> [(Worker, RunSum, Route)] {
    let grid = WorkerGrid(ranks: c.ranks, threads: c.threads)
    let partition = BatchPartition(globalCount: c.count, shards: c.shards, grid: grid, statistics: c.statistics)
    let parameters = AlignedBuffer<Float>(count: 1)
    return try asRanks(c.ranks) { communicator in
      (0..<c.threads).map { index in
        let number = communicator.rank * c.threads + index
        let sum = RunSum(partition.tree, partition.shards(ofWorker: number))
        let worker = Worker(
          index: index, grid: grid, communicator: communicator, barrier: Barrier(count: 1, patience: .oversubscribed),
          seed: 0,
          places: (0..<c.threads).map { _ in
            ActivationPlaces(
              input: .init(start: nil, stride: 0), values: [], gradients: [], keptValues: [], keptGradients: [])
          }, parameters: UnsafePointer(parameters.start), backwardWeights: parameters.start)
        return (worker, sum, Route(worker, partition, sum: sum, sliceSizes: sliceSizes))
      }
    }.flatMap { $0 }
  }

  /// Slices follow one upon the other, hold every sample once, and are no larger than they may be.
  @Test(arguments: cases) func slicesHoldEverySampleOnce(_ c: Case) throws {
    let sizes = [1, 2, 3, 7, 20, 1000]
    let routes = try routes(c, sliceSizes: sizes)
    for (number, size) in sizes.enumerated() {
      var next = 0
      for (worker, _, route) in routes {
        let (first, segment) = (next, route.segments[number])
        let slices = segment.isReversed ? segment.slices.reversed() : segment.slices
        for slice in slices where slice.count > 0 {
          #expect(slice.samples.lowerBound == next && slice.count <= size)
          #expect(slice.localStart == next - first)
          var start = 0
          for piece in slice.pieces.sorted(by: { $0.start < $1.start }) {
            #expect(piece.start == start && piece.count > 0)
            start += piece.count
          }
          #expect(start == slice.count)
          next = slice.samples.upperBound
        }
        #expect(next - first == c.count(of: worker))
      }
      #expect(next == c.count)
    }
  }

  /// A shard is cut into as few slices as hold it, as equal as can be.
  @Test func slicesAreEqual() throws {
    let whole = Case(count: 128, shards: 8, ranks: 1, threads: 2, statistics: [])
    let groups = Case(count: 128, shards: 8, ranks: 1, threads: 2, statistics: [.ghost(32)])
    for (_, _, route) in try routes(whole, sliceSizes: [7, 15, 16, 40]) + routes(groups, sliceSizes: [7, 15, 16, 40]) {
      let counts = route.segments.map { segment in segment.slices.map(\.count).sorted() }
      #expect(counts[0] == [5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6])
      #expect(counts[1] == [8, 8, 8, 8, 8, 8, 8, 8] && counts[2] == [16, 16, 16, 16])
      #expect(counts[3] == [32, 32])
    }
  }

  /// Of the last slices, but never the first, others may take those that are of one shard, and put their gradients apart.
  @Test(arguments: cases) func stealableSlicesAreTheLast(_ c: Case) throws {
    for (_, sum, route) in try routes(c, sliceSizes: [1, 2, 3, 7, 20, 1000]) {
      for segment in route.segments {
        let (last, stealable) = (segment.slices.suffix(segment.stealable.count), segment.stealable)
        #expect(stealable.map(\.samples) == last.map(\.samples))
        #expect(stealable.count <= min(Route.mostStolen, max(0, segment.slices.count - 1)))
        #expect(stealable.allSatisfy { $0.pieces.count == 1 && $0.count > 0 })
        #expect(stealable.map { $0.pieces[0].place.slot - sum.slotCount } == stealable.indices.reversed())
        #expect(stealable.allSatisfy { !$0.pieces[0].place.adds && $0.pieces[0].place.merges == 0 })
        if let next = segment.slices.dropFirst().dropLast(stealable.count).last, stealable.count < Route.mostStolen {
          #expect(next.pieces.count > 1 || next.count == 0)
        }
      }
    }
  }

  /// Played with sets of shards in the place of gradients, the places leave the nodes of the shard tree.
  @Test(arguments: cases) func placesFollowTheTree(_ c: Case) throws {
    let sizes = [1, 1, 3, 3, 7, 7, 1000, 1000]
    for (worker, sum, route) in try routes(c, sliceSizes: sizes) {
      for segment in route.segments {
        var slots = [[Range<Int>]](repeating: [], count: sum.slotCount)
        func merge(_ place: GradientPlace) {
          for upper in stride(from: place.slot, to: place.slot - place.merges, by: -1) {
            slots[upper - 1].append(contentsOf: slots[upper])
          }
        }
        let nodes = segment.isReversed ? sum.nodes.reversed() : sum.nodes
        for slice in segment.slices {
          for piece in slice.pieces {
            let start = slice.samples.lowerBound + piece.start
            let samples = [start..<start + piece.count]
            slots[piece.place.slot] = piece.place.adds ? slots[piece.place.slot] + samples : samples
            merge(piece.place)
          }
        }
        for (slot, node) in nodes.enumerated() {
          let found = slots[slot].flatMap { Array($0) }.sorted()
          #expect(found == Array(route.partition.samples(ofShards: node)), "worker \(worker.number), node \(node)")
        }
        for shard in segment.shards {
          slots[shard.place.slot] = [shard.number..<shard.number + 1]
          merge(shard.place)
        }
        for (slot, node) in nodes.enumerated() {
          let found = slots[slot].map(\.lowerBound).sorted()
          #expect(found == Array(node), "worker \(worker.number), node \(node)")
        }
      }
    }
  }

  /// Runs hold the pieces in order, are as long as can be, and leave the same sums: played with symbols that show every
  /// addition.
  @Test(
    arguments: cases + [
      Case(count: 128, shards: 8, ranks: 1, threads: 2, statistics: []),
      Case(count: 90, shards: 40, ranks: 1, threads: 1, statistics: []),
    ]) func runsLeaveTheSameSums(_ c: Case) throws
  {
    for (worker, sum, route) in try routes(c, sliceSizes: [1, 2, 3, 7, 20, 21, 1000, 1001]) {
      for (number, segment) in route.segments.enumerated() {
        var byPiece = [String](repeating: "?", count: sum.slotCount)
        var byRun = byPiece
        func put(_ text: String, _ place: GradientPlace, adds: Bool, _ slots: inout [String]) {
          slots[place.slot] = adds ? "(\(slots[place.slot])+\(text))" : text
          for upper in stride(from: place.slot, to: place.slot - place.merges, by: -1) {
            slots[upper - 1] = "(\(slots[upper - 1])+\(slots[upper]))"
          }
        }
        for slice in segment.slices {
          for piece in slice.pieces {
            put("\(slice.samples.lowerBound + piece.start)", piece.place, adds: piece.place.adds, &byPiece)
          }
          #expect(slice.runs.flatMap { $0.pieces.map(\.start) } == slice.pieces.map(\.start))
          for run in slice.runs {
            var stack: [String] = []
            for (summand, piece) in zip(run.summands, run.pieces) {
              #expect(summand.samples.lowerBound == piece.start - run.samples.lowerBound)
              #expect(summand.samples.count == piece.count)
              let text = "\(slice.samples.lowerBound + piece.start)"
              stack.append(stack.isEmpty && run.place.adds ? "(\(byRun[run.place.slot])+\(text))" : text)
              #expect(stack.count - min(1, summand.merges) <= Summand.mostSums)
              for _ in 0..<summand.merges {
                let last = stack.removeLast()
                stack[stack.count - 1] = "(\(stack[stack.count - 1])+\(last))"
              }
            }
            #expect(stack.count == 1)
            put(stack[0], run.place, adds: false, &byRun)
          }
        }
        let nodes = sum.nodes.count
        #expect(byRun.prefix(nodes) == byPiece.prefix(nodes), "worker \(worker.number), segment \(number)")
        if c.shards == 8, c.threads == 2, number > 5 { #expect(segment.slices.map(\.runs.count) == [1]) }
      }
    }
  }
}

extension RouteTests.Case {
  fileprivate func count(of worker: Worker) -> Int {
    let partition = BatchPartition(
      globalCount: count, shards: shards, grid: WorkerGrid(ranks: ranks, threads: threads), statistics: statistics)
    return partition.samples(ofShards: partition.shards(ofWorker: worker.number)).count
  }
}
