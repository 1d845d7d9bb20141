import Collectives
import Kernels

/// Where a part of a worker's parameter gradients goes, so that all of them add up in the order of the shard tree.
///
/// A worker's sums lie in a stack of slots. A shard is put on top of it, or added to what is on top if that is its
/// sibling; when it is complete, the finished subtrees below are merged.
package struct GradientPlace: Sendable {
  package let slot: Int
  /// Whether the slot's content is added to rather than overwritten.
  package let adds: Bool
  /// How many times the slot is then added to the one below it, which takes its place.
  package let merges: Int
}

extension GradientPlace {
  /// The places of a worker's shards.
  static func places(_ sum: SumSchedule) -> [GradientPlace] {
    let slots = sum.steps.compactMap { if case .place(_, let slot) = $0 { slot } else { nil } }
    return zip(slots, sum.merges).map { GradientPlace(slot: $0, adds: false, merges: $1) }
  }

  /// The place of one of a shard's pieces.
  ///
  /// The shard's later pieces are added to the first. A shard of one piece can be added to its sibling at once; the sum
  /// has the same bits as if it had been made apart, as long as every kernel adds it as one.
  func part(_ index: Int, of count: Int, samples: Int) -> GradientPlace {
    if count == 1, merges > 0, samples <= MatrixProduct.stepsAddedAtOnce {
      return GradientPlace(slot: slot - 1, adds: true, merges: merges - 1)
    }
    return GradientPlace(slot: slot, adds: index > 0, merges: index == count - 1 ? merges : 0)
  }

  /// Consecutive places whose gradients add up to one.
  struct Run {
    /// Where their sum goes.
    var place: GradientPlace
    /// For each of them, how often then the last sum is added to the one before it.
    var merges: [Int]
  }

  /// Cuts places into runs that are as long as can be.
  static func runs(_ places: [GradientPlace]) -> [Run] {
    var runs: [Run] = []
    var rest = places[...]
    while let first = rest.first {
      var run = Run(place: first, merges: [0])
      var merges = run.merges
      var (sums, merged) = (1, first.merges)
      for place in rest.dropFirst().prefix(Summand.most - 1) {
        if !place.adds { sums += 1 }
        // A sum that has been merged with what was there before takes no more.
        if merged > 0 || sums > Summand.mostSums { break }
        let inside = min(place.merges, sums - 1)
        (sums, merged) = (sums - inside, place.merges - inside)
        merges.append(inside + (place.adds ? 1 : 0))
        if sums == 1 {
          run = Run(place: GradientPlace(slot: first.slot, adds: first.adds, merges: merged), merges: merges)
        }
      }
      runs.append(run)
      rest = rest.dropFirst(run.merges.count)
    }
    return runs
  }
}
