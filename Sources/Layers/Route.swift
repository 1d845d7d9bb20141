import Collectives
import Kernels
import Tensors

/// A worker's way through a batch of one size: its shards, and its slices in every segment.
///
/// Sendable: immutable once the rank's routes know each other; the tables belong to it.
package final class Route: @unchecked Sendable {
  package let partition: BatchPartition
  package let segments: [Segment]

  /// The most slices of a worker, in one pass through a segment, that others may compute.
  package static let mostStolen = 4

  /// The worker's samples, numbered among the rank's.
  package let samples: Range<Int>
  /// By the numbers of the kinds of statistics.
  private let kinds: UnsafeMutableBufferPointer<RouteKind>
  private let pieces: UnsafeMutableBufferPointer<Piece>
  private let tables: UnsafeMutableBufferPointer<Int>
  private let runs: UnsafeMutableBufferPointer<PieceRun>
  private let summands: UnsafeMutableBufferPointer<Summand>
  /// The worker's shards, on the way through even and through odd segments.
  private let shards: [UnsafeMutableBufferPointer<ShardPlace>]

  /// The way through one segment.
  ///
  /// Every other segment is gone through backwards, so that what the one before wrote last, and is still in a cache, is
  /// read first.
  package final class Segment {
    package let isReversed: Bool
    /// In the order in which they are computed.
    package let slices: [Slice]
    /// The last of them, as others compute them: their sums apart, because who computes a slice must not change the order of
    /// additions.
    package let stealable: [Slice]
    /// The worker's shards, in the same order.
    package let shards: UnsafeBufferPointer<ShardPlace>
    /// How many slices of each of the rank's workers others may compute.
    package let stealableCounts: UnsafeMutableBufferPointer<Int>

    fileprivate init(
      isReversed: Bool, slices: [Slice], stealable: [Slice], shards: UnsafeBufferPointer<ShardPlace>, workers: Int
    ) {
      (self.isReversed, self.slices, self.stealable, self.shards) = (isReversed, slices, stealable, shards)
      stealableCounts = .table(repeatElement(0, count: workers))
    }

    deinit { stealableCounts.deallocate() }

    /// The slice of that number among `slices`, as others compute it.
    package func stealable(_ number: Int) -> Slice { stealable[number - slices.count + stealable.count] }
  }

  /// A shard, and where a parameter gradient goes that is known for the shard as a whole.
  package struct ShardPlace: Sendable {
    package let number: Int
    package let place: GradientPlace
  }

  /// - Parameters:
  ///   - sum: how the worker's shards add up.
  ///   - sliceSizes: the most samples of a slice in each segment.
  package init(_ worker: Worker, _ partition: BatchPartition, sum: RunSum, sliceSizes: [Int]) {
    self.partition = partition
    let run = partition.shards(ofWorker: worker.number)
    let ofRank = partition.shards(ofRank: worker.communicator.rank)
    let samples = partition.samples(ofShards: run), firstOfRank = partition.samples(ofShards: ofRank).lowerBound
    self.samples = samples.isEmpty ? 0..<0 : samples.lowerBound - firstOfRank..<samples.upperBound - firstOfRank
    let shardPlaces = [
      zip(run, GradientPlace.places(sum.ascending)).map { ShardPlace(number: $0, place: $1) },
      zip(run.reversed(), GradientPlace.places(sum.descending)).map { ShardPlace(number: $0, place: $1) },
    ]
    shards = shardPlaces.map { .table($0) }
    kinds = .table(partition.groups.map { RouteKind($0, partition, worker) })

    let drafts = sliceSizes.enumerated().map { number, size in
      Draft.slices(partition, shardPlaces[number % 2], sliceSize: size, isReversed: Self.isReversed(segment: number))
    }
    let stealable = drafts.map { Draft.stealable($0, firstSlot: sum.slotCount) }
    let kindCount = partition.groups.count
    let flat = zip(drafts, stealable).flatMap { $0 + $1 }.flatMap { slice in slice.pieces.map { (slice, $0) } }
    pieces = .allocate(capacity: flat.count)
    tables = .allocate(capacity: 2 * kindCount * flat.count)
    for (number, (slice, piece)) in flat.enumerated() {
      let table = tables.baseAddress! + 2 * kindCount * number
      for (index, kind) in partition.groups.enumerated() {
        // A shard without samples is in no group.
        let group = piece.samples.isEmpty ? 0 : kind.group(of: piece.samples.lowerBound, shard: piece.shard)
        table[index] = group - kind.groupsOfWorker[worker.number].lowerBound
        table[kindCount + index] =
          slice.stolenNumber.map { kind.pieceCount(in: ofRank) + worker.index * Self.mostStolen + $0 }
          ?? kind.piece(shard: piece.shard, group: group, from: ofRank.lowerBound)
      }
      pieces.initializeElement(
        at: number,
        to: Piece(
          start: piece.samples.lowerBound - slice.samples.lowerBound, count: piece.samples.count, place: piece.place,
          groups: UnsafePointer(table), rows: UnsafePointer(table + kindCount)))
    }
    runs = .allocate(capacity: flat.count)
    summands = .allocate(capacity: flat.count)
    var (nextPiece, nextRun) = (0, 0)
    let (pieces, runs, summands) = (pieces, runs, summands)
    func add(_ draft: GradientPlace.Run) {
      let run = nextPiece..<nextPiece + draft.merges.count
      let samples = pieces[run].map(\.samples.lowerBound).min()!..<pieces[run].map(\.samples.upperBound).max()!
      for (number, merges) in zip(run, draft.merges) {
        let piece = pieces[number].samples
        summands.initializeElement(
          at: number,
          to: Summand(
            piece.lowerBound - samples.lowerBound..<piece.upperBound - samples.lowerBound, merges: merges))
      }
      runs.initializeElement(
        at: nextRun,
        to: PieceRun(
          samples: samples, pieces: UnsafeBufferPointer(rebasing: pieces[run]),
          summands: UnsafeBufferPointer(rebasing: summands[run]), place: draft.place))
      nextPiece = run.upperBound
      nextRun += 1
    }
    func slices(_ drafts: [Draft]) -> [Slice] {
      drafts.map { slice in
        let (firstPiece, firstRun) = (nextPiece, nextRun)
        for draft in GradientPlace.runs(slice.pieces.map(\.place)) { add(draft) }
        return Slice(
          worker, samples: slice.samples, localStart: slice.samples.lowerBound - samples.lowerBound,
          pieces: UnsafeBufferPointer(rebasing: pieces[firstPiece..<nextPiece]),
          runs: UnsafeBufferPointer(rebasing: runs[firstRun..<nextRun]), for: worker)
      }
    }
    let tables = shards.map { UnsafeBufferPointer($0) }
    segments = zip(drafts, stealable).enumerated().map { number, drafts in
      Segment(
        isReversed: Self.isReversed(segment: number), slices: slices(drafts.0), stealable: slices(drafts.1),
        shards: tables[number % 2], workers: worker.grid.threads)
    }
  }

  /// Tells the routes of a rank's workers what others may compute: who looks there during a step makes the owner wait.
  package static func introduce(_ routes: [Route]) {
    for route in routes {
      for (number, segment) in route.segments.enumerated() {
        for (worker, other) in routes.enumerated() {
          segment.stealableCounts[worker] = other.segments[number].stealable.count
        }
      }
    }
  }

  /// Whether a segment is gone through backwards.
  package static func isReversed(segment number: Int) -> Bool { number % 2 == 1 }

  /// What there is to know of a kind of statistics.
  func kind(_ number: Int) -> RouteKind { kinds[number] }

  deinit {
    for kind in kinds { kind.deallocate() }
    kinds.deallocate()
    pieces.deallocate()
    tables.deallocate()
    runs.deallocate()
    summands.deallocate()
    for table in shards { table.deallocate() }
  }
}

/// A slice before its pieces have addresses.
private struct Draft {
  struct Part {
    let shard: Int
    let samples: Range<Int>
    var place: GradientPlace
  }

  var samples: Range<Int>
  var pieces: [Part] = []
  /// Among those that others may compute, from the last one on; nil for the owner's own.
  var stolenNumber: Int?

  /// Cuts shards into slices: several whole shards if they fit, else parts of one.
  static func slices(
    _ partition: BatchPartition, _ shards: [Route.ShardPlace], sliceSize: Int, isReversed: Bool
  ) -> [Draft] {
    var result: [Draft] = []
    for shard in shards {
      let samples = partition.samples(ofShard: shard.number)
      let ascending = cuts(partition, shard.number, samples, sliceSize)
      let cuts = isReversed ? ascending.reversed() : ascending
      let fits = samples.count <= sliceSize && !samples.isEmpty
      for (index, cut) in cuts.enumerated() {
        let place = shard.place.part(index, of: cuts.count, samples: cut.count)
        let part = Part(shard: shard.number, samples: cut, place: place)
        if fits, let last = result.last, !last.samples.isEmpty,
          index > 0 || union(last.samples, samples).count <= sliceSize
        {
          result[result.count - 1].samples = union(last.samples, cut)
          result[result.count - 1].pieces.append(part)
        } else {
          result.append(Draft(samples: cut, pieces: [part]))
        }
      }
    }
    return result
  }

  /// The last slices, as others compute them; never the first, which its owner is at.
  ///
  /// What a kernel would not add to the shard's sums as one cannot be summed apart.
  static func stealable(_ slices: [Draft], firstSlot: Int) -> [Draft] {
    let last = slices.dropFirst().reversed().prefix(Route.mostStolen).prefix { slice in
      slice.pieces.count == 1 && 1...MatrixProduct.stepsAddedAtOnce ~= slice.samples.count
    }
    return last.enumerated().map { number, slice in
      var stolen = slice
      stolen.stolenNumber = number
      stolen.pieces[0].place = GradientPlace(slot: firstSlot + number, adds: false, merges: 0)
      return stolen
    }.reversed()
  }

  private static func union(_ a: Range<Int>, _ b: Range<Int>) -> Range<Int> {
    min(a.lowerBound, b.lowerBound)..<max(a.upperBound, b.upperBound)
  }

  /// Cuts a shard where a group of samples ends, and what is left into as few slices as hold it, as equal as can be. A shard
  /// without samples is one piece.
  private static func cuts(
    _ partition: BatchPartition, _ shard: Int, _ samples: Range<Int>, _ sliceSize: Int
  ) -> [Range<Int>] {
    if samples.isEmpty { return [samples] }
    var cuts: [Range<Int>] = []
    var start = samples.lowerBound
    while start < samples.upperBound {
      let ends = partition.groups.map { $0.groups[$0.group(of: start, shard: shard)].samples.upperBound }
      let end = min(samples.upperBound, ends.min() ?? .max)
      let count = (end - start + sliceSize - 1) / sliceSize
      cuts += (0..<count).map { start + (end - start) * $0 / count..<start + (end - start) * ($0 + 1) / count }
      start = end
    }
    return cuts
  }
}
