import Kernels
import Tensors

/// The samples that one kernel call takes: a part of a shard, or a run of whole shards.
package struct Slice {
  /// Who computes it.
  package unowned(unsafe) let worker: Worker
  /// Whose samples these are: their kernels' sums, and what is kept of them, go to its memory.
  package unowned(unsafe) let owner: Worker
  unowned(unsafe) let places: ActivationPlaces
  /// The samples, numbered in the global batch.
  package let samples: Range<Int>
  /// The first sample's number among the owner's.
  package let localStart: Int
  /// The parts that are summed apart.
  package let pieces: UnsafeBufferPointer<Piece>
  /// The same in runs.
  package let runs: UnsafeBufferPointer<PieceRun>

  init(
    _ owner: Worker, samples: Range<Int>, localStart: Int, pieces: UnsafeBufferPointer<Piece>,
    runs: UnsafeBufferPointer<PieceRun>, for worker: Worker
  ) {
    (self.worker, self.owner, places) = (worker, owner, worker.places[owner.index])
    (self.samples, self.localStart, self.pieces, self.runs) = (samples, localStart, pieces, runs)
  }

  /// The same to be computed by another worker of the rank.
  package func stolen(by thief: Worker) -> Slice {
    Slice(owner, samples: samples, localStart: localStart, pieces: pieces, runs: runs, for: thief)
  }

  package var count: Int { samples.count }
  package var kernels: KernelContext { worker.kernels }
  package var isTraining: Bool { worker.mode != .evaluation }

  /// The slice's part of an activation.
  package subscript(_ value: Value) -> UnsafeMutablePointer<Float> { places.values[value.number].address(localStart) }

  /// The slice's part of the loss's gradient by an activation.
  package func gradient(_ value: Value) -> UnsafeMutablePointer<Float> {
    places.gradients[value.number].address(localStart)
  }

  /// Where bf16 training keeps the slice's part of an activation.
  package func kept(_ value: Value) -> UnsafeMutablePointer<UInt16> {
    places.keptValues[value.number].address(localStart)
  }

  /// Where bf16 training keeps the slice's part of the loss's gradient by an activation.
  package func keptGradient(_ value: Value) -> UnsafeMutablePointer<UInt16> {
    places.keptGradients[value.number].address(localStart)
  }

  /// The slice's part of the batch.
  package var input: UnsafePointer<Float> { UnsafePointer(owner.input.address(localStart)) }

  /// Where an operation writes the gradient of an input; nil if nobody wants it.
  package func inputGradient(_ operation: some Operation, _ index: Int) -> UnsafeMutablePointer<Float>? {
    guard operation.wiring.needsInputGradient[index] else { return nil }
    return operation.wiring.addsToInputGradient[index]
      ? worker.gradientScratch[index] : gradient(operation.inputs[index])
  }

  /// The labels of the samples.
  var labels: UnsafePointer<Int32> { owner.labels + localStart }

  /// Where parameter gradients with a place go, from the flat array's start.
  package func gradients(_ place: GradientPlace) -> UnsafeMutablePointer<Float> { owner.gradients(place) }

  /// Merges what has become complete by a gradient of a parameter.
  func merge(_ place: GradientPlace, _ parameter: Parameter) { owner.merge(place, parameter.range) }

  /// A parameter's elements.
  package func parameter(_ parameter: Parameter) -> UnsafePointer<Float> { worker.parameters + parameter.offset }
}

/// The part of a slice that is in one shard, and in one group of samples of every kind of statistics.
package struct Piece {
  /// The first sample's number within the slice.
  package let start: Int
  package let count: Int
  /// Where its parameter gradients go.
  package let place: GradientPlace
  /// Its group of each kind of statistics, and its number among the rank's pieces of that kind.
  let groups: UnsafePointer<Int>
  let rows: UnsafePointer<Int>

  /// The samples, numbered within the slice.
  var samples: Range<Int> { start..<start + count }
}

/// Consecutive pieces of a slice whose parameter gradients add up to one, in the order of the shard tree.
package struct PieceRun {
  /// The samples, numbered within the slice.
  package let samples: Range<Int>
  package let pieces: UnsafeBufferPointer<Piece>
  /// How they add up; samples are numbered within the run.
  package let summands: UnsafeBufferPointer<Summand>
  /// Where their sum goes.
  package let place: GradientPlace
}
