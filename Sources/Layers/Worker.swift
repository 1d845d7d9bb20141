import Collectives
import Kernels
import Tensors

/// What is being done with a batch.
package enum Mode: Sendable {
  /// A backward pass follows.
  case training
  /// The same without one: the batch's own statistics, and the loss.
  case trial
  case evaluation
}

/// A computing thread: the shards it owns of the current batch, and its memory.
///
/// Sendable: belongs to one thread of the team while a step runs, and to the team's caller in between; so nobody writes a
/// variable while another reads it, and the most read ones go unchecked.
package final class Worker: @unchecked Sendable {
  /// This worker's number within its rank.
  package let index: Int
  package let grid: WorkerGrid
  package let communicator: any Communicator
  package let barrier: Barrier
  package let kernels = KernelContext()
  package let seed: UInt64

  // MARK: - The current batch

  /// The worker's way through it.
  @exclusivity(unchecked) package var route: Route!
  @exclusivity(unchecked) package var mode = Mode.training
  /// The running number of the optimizer's step, from 0: the key of dropout's masks.
  package var step = 0
  /// The running number of its passes through segments; workers that are in the same pass may take over slices.
  package var round: UInt32 = 0
  /// What a gradient takes of the loss's: 1 / the samples of the global batch.
  package var lossScale: Float { 1 / Float(route.partition.globalCount) }

  // MARK: - Memory

  /// Where operations read and write in slices of this rank's workers, by the index of the slice's owner.
  package let places: [ActivationPlaces]
  /// The labels of this worker's samples.
  @exclusivity(unchecked) package var labels: UnsafeMutablePointer<Int32>!
  /// Where operations put input gradients that must be added to others, one area per input.
  @exclusivity(unchecked) package var gradientScratch: [UnsafeMutablePointer<Float>] = []
  /// The rank's parameters as operations see them, in the layout of the kernels.
  @exclusivity(unchecked) package var parameters: UnsafePointer<Float>
  /// What backward passes derive from them, the worker's own or shared by the rank's.
  package let backwardWeights: UnsafeMutablePointer<Float>
  /// The stack on which the shards' parameter gradients of the current segment are added up; addressed like `parameters`.
  @exclusivity(unchecked) package var gradientSlots: UnsafePointer<UnsafeMutablePointer<Float>>!
  /// The worker's shards, and their places on it.
  @exclusivity(unchecked) package var shardPlaces = UnsafeBufferPointer<Route.ShardPlace>(start: nil, count: 0)

  package init(
    index: Int, grid: WorkerGrid, communicator: any Communicator, barrier: Barrier, seed: UInt64,
    places: [ActivationPlaces], parameters: UnsafePointer<Float>, backwardWeights: UnsafeMutablePointer<Float>
  ) {
    self.index = index
    self.grid = grid
    self.communicator = communicator
    self.barrier = barrier
    self.seed = seed
    self.places = places
    self.parameters = parameters
    self.backwardWeights = backwardWeights
    number = communicator.rank * grid.threads + index
  }

  /// This worker's number among those of all ranks.
  package let number: Int

  // MARK: - Meeting others

  /// Whether others must meet this worker before they read what it has written: the rank's other workers, or those of the
  /// machine's other ranks.
  @exclusivity(unchecked) private var hasNews = false
  @exclusivity(unchecked) package private(set) var hasNewsForMachine = false

  /// Says that it has written what others will read.
  package func announce() { (hasNews, hasNewsForMachine) = (true, true) }

  /// Meets the rank's other workers.
  package func meet() throws {
    try barrier.wait()
    hasNews = false
  }

  /// Meets the rank's other workers, unless they have met since there was anything new.
  package func meetIfNeeded() throws { if hasNews { try meet() } }

  /// Says that all other ranks have been met; only the worker that does so is ever asked.
  func noteRanksMet() { hasNewsForMachine = false }

  // MARK: - Parameter gradients

  /// The array of a slot, from the flat array's start.
  package func gradients(_ place: GradientPlace) -> UnsafeMutablePointer<Float> { gradientSlots[place.slot] }

  /// Merges what has become complete by filling a place, as far as some parameters go.
  package func merge(_ place: GradientPlace, _ range: Range<Int>) {
    for upper in stride(from: place.slot, to: place.slot - place.merges, by: -1) {
      Elementwise.add(
        gradientSlots[upper] + range.lowerBound, to: gradientSlots[upper - 1] + range.lowerBound, count: range.count)
    }
  }

  /// Puts together a parameter's gradient that is known for every shard as a whole.
  ///
  /// - Parameter body: fills in the gradient of one shard, which is zero before.
  package func addUpShards(
    _ parameter: Range<Int>, _ body: (_ shard: Int, _ gradient: UnsafeMutablePointer<Float>) -> Void
  ) {
    for shard in shardPlaces {
      let gradient = gradients(shard.place) + parameter.lowerBound
      gradient.update(repeating: 0, count: parameter.count)
      body(shard.number, gradient)
      merge(shard.place, parameter)
    }
  }
}
