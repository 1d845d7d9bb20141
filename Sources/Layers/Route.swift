import Collectives
import Tensors

/// A worker's way through a batch of one size: its shards, and its slices in every segment.
///
/// Sendable: immutable; the tables belong to it.
package final class Route: @unchecked Sendable {
  package let partition: BatchPartition
  package let shards: [ShardPlace]
  /// The slices of each segment, in order.
  package let segments: [[Slice]]
  /// For each kind of statistics, the groups whose sums the worker wants.
  let groups: [Range<Int>]
  /// For each kind of statistics, the worker's pieces among the rank's.
  let rows: [Range<Int>]

  private let pieces: UnsafeMutableBufferPointer<Piece>
  private let tables: UnsafeMutableBufferPointer<Int>

  /// A shard, and where a parameter gradient goes that is known for the shard as a whole.
  package struct ShardPlace: Sendable {
    package let number: Int
    package let place: GradientPlace
  }

  /// - Parameters:
  ///   - sum: how the worker's shards add up.
  ///   - sliceSizes: the most samples of a slice in each segment.
  package init(_ worker: Worker, _ partition: BatchPartition, sum: SumSchedule, sliceSizes: [Int]) {
    self.partition = partition
    let run = partition.shards(ofWorker: worker.number)
    let firstOfRank = partition.shards(ofRank: worker.communicator.rank).lowerBound
    let firstSample = partition.samples(ofShards: run).lowerBound
    let places = GradientPlace.places(sum)
    shards = zip(run, places).map { ShardPlace(number: $0, place: $1) }
    groups = partition.groups.map { $0.groupsOfWorker[worker.number] }
    rows = partition.groups.map { kind in
      let first = kind.pieceCount(in: firstOfRank..<max(run.lowerBound, firstOfRank))
      return first..<first + kind.pieceCount(in: run)
    }

    let drafts = sliceSizes.map { Draft.slices(partition, run, places, sliceSize: $0) }
    let kindCount = partition.groups.count
    let flat = drafts.joined().flatMap(\.pieces)
    pieces = .allocate(capacity: flat.count)
    tables = .allocate(capacity: 2 * kindCount * flat.count)
    for (number, piece) in flat.enumerated() {
      let table = tables.baseAddress! + 2 * kindCount * number
      for (index, kind) in partition.groups.enumerated() {
        // A shard without samples is in no group.
        let group = piece.samples.isEmpty ? 0 : kind.group(of: piece.samples.lowerBound, shard: piece.shard)
        table[index] = group
        table[kindCount + index] = kind.piece(shard: piece.shard, group: group) - kind.piece(before: firstOfRank)
      }
      pieces.initializeElement(
        at: number,
        to: Piece(
          start: piece.samples.lowerBound - piece.sliceStart, count: piece.samples.count, place: piece.place,
          groups: UnsafePointer(table), rows: UnsafePointer(table + kindCount)))
    }
    var next = 0
    let pieces = pieces
    segments = drafts.map { slices in
      slices.map { slice in
        defer { next += slice.pieces.count }
        return Slice(
          worker: worker, samples: slice.samples, localStart: slice.samples.lowerBound - firstSample,
          pieces: UnsafeBufferPointer(rebasing: pieces[next..<next + slice.pieces.count]))
      }
    }
  }

  deinit {
    pieces.deallocate()
    tables.deallocate()
  }
}

/// A slice before its pieces have addresses.
private struct Draft {
  struct Part {
    let shard: Int
    let samples: Range<Int>
    let sliceStart: Int
    let place: GradientPlace
  }

  var samples: Range<Int>
  var pieces: [Part] = []

  /// Cuts a run of shards into slices: several whole shards if they fit, else parts of one.
  static func slices(
    _ partition: BatchPartition, _ run: Range<Int>, _ places: [GradientPlace], sliceSize: Int
  ) -> [Draft] {
    var result: [Draft] = []
    for (shard, place) in zip(run, places) {
      let samples = partition.samples(ofShard: shard)
      let cuts = cuts(partition, shard, samples, sliceSize)
      let fits = samples.count <= sliceSize && !samples.isEmpty
      for (index, cut) in cuts.enumerated() {
        let last = result.last?.samples
        if !fits || last.map({ $0.isEmpty || index == 0 && samples.upperBound - $0.lowerBound > sliceSize }) ?? true {
          result.append(Draft(samples: cut))
        } else {
          result[result.count - 1].samples = last!.lowerBound..<cut.upperBound
        }
        result[result.count - 1].pieces.append(
          Part(
            shard: shard, samples: cut, sliceStart: result[result.count - 1].samples.lowerBound,
            place: place.part(index, of: cuts.count)))
      }
    }
    return result
  }

  /// Cuts a shard where a slice is full or a group of samples ends. A shard without samples is one piece.
  private static func cuts(
    _ partition: BatchPartition, _ shard: Int, _ samples: Range<Int>, _ sliceSize: Int
  ) -> [Range<Int>] {
    if samples.isEmpty { return [samples] }
    var cuts: [Range<Int>] = []
    var start = samples.lowerBound
    while start < samples.upperBound {
      let ends = partition.groups.map { $0.groups[$0.group(of: start, shard: shard)].samples.upperBound }
      let end = min(start + sliceSize, samples.upperBound, ends.min() ?? .max)
      cuts.append(start..<end)
      start = end
    }
    return cuts
  }
}

extension GradientPlace {
  /// The places of a worker's shards.
  static func places(_ sum: SumSchedule) -> [GradientPlace] {
    var result: [GradientPlace] = []
    for step in sum.steps {
      switch step {
      case .place(_, let slot): result.append(GradientPlace(slot: slot, adds: false, merges: 0))
      case .merge:
        let last = result.removeLast()
        result.append(GradientPlace(slot: last.slot, adds: false, merges: last.merges + 1))
      }
    }
    return result
  }

  /// The place of one of a shard's pieces.
  ///
  /// The shard's later pieces are added to the first. A shard of one piece can be added to its sibling at once; the sum
  /// has the same bits as if it had been made apart.
  fileprivate func part(_ index: Int, of count: Int) -> GradientPlace {
    if count == 1, merges > 0 { return GradientPlace(slot: slot - 1, adds: true, merges: merges - 1) }
    return GradientPlace(slot: slot, adds: index > 0, merges: index == count - 1 ? merges : 0)
  }
}
