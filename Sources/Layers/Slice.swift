import Kernels
import Tensors

/// The samples that one kernel call takes: a part of a shard, or a run of whole shards.
package struct Slice {
  /// Who computes it; nobody counts references to workers, hundreds in every step.
  private let computing: Unmanaged<Worker>
  private let owning: Unmanaged<Worker>
  /// The numbers, within the rank, of who computes it, and of whose samples these are: their kernels' sums, and what is kept of
  /// them, go to the owner's memory.
  package let worker, owner: Int
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
    (computing, owning) = (.passUnretained(worker), .passUnretained(owner))
    (self.worker, self.owner) = (worker.index, owner.index)
    places = worker.places[owner.index]
    (self.samples, self.localStart, self.pieces, self.runs) = (samples, localStart, pieces, runs)
  }

  /// The same to be computed by another worker of the rank.
  package func stolen(by thief: Worker) -> Slice {
    Slice(
      owning.takeUnretainedValue(), samples: samples, localStart: localStart, pieces: pieces, runs: runs, for: thief)
  }

  package var count: Int { samples.count }
  package var kernels: KernelContext { withWorker { $0.kernels } }
  package var mode: Mode { withWorker { $0.mode } }
  package var isTraining: Bool { mode != .evaluation }

  /// Hands over all samples at once, if a kernel takes the slice as a whole. One whose bits may depend on the number of samples
  /// gets each piece apart.
  func forEachCall(whole: Bool, _ body: (_ start: Int, _ count: Int) -> Void) {
    if whole { return body(0, count) }
    for piece in pieces { body(piece.start, piece.count) }
  }

  /// Asks who computes it.
  package func withWorker<Result>(_ body: (Worker) -> Result) -> Result { computing._withUnsafeGuaranteedRef(body) }

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
  package var input: UnsafePointer<Float> { UnsafePointer(places.input.address(localStart)) }

  /// Where an operation writes the gradient of an input; nil if nobody wants it.
  package func inputGradient(_ operation: some Operation, _ index: Int) -> UnsafeMutablePointer<Float>? {
    guard operation.wiring.needsInputGradient[index] else { return nil }
    return operation.wiring.addsToInputGradient[index]
      ? scratch(index) : gradient(operation.inputs[index])
  }

  /// What backward passes derive from the parameters.
  var backwardWeights: UnsafeMutablePointer<Float> { withWorker { $0.backwardWeights } }

  /// Room for the gradient of an operation's input of that number, to be added to another one.
  package func scratch(_ input: Int) -> UnsafeMutablePointer<Float> { withWorker { $0.gradientScratch[input] } }

  /// The labels of the samples.
  var labels: UnsafePointer<Int32> { owning._withUnsafeGuaranteedRef { UnsafePointer($0.labels + localStart) } }

  /// Where parameter gradients with a place go, from the flat array's start.
  package func gradients(_ place: GradientPlace) -> UnsafeMutablePointer<Float> {
    owning._withUnsafeGuaranteedRef { $0.gradients(place) }
  }

  /// Merges what has become complete by gradients of some parameters.
  package func merge(_ place: GradientPlace, _ parameters: Range<Int>) {
    owning._withUnsafeGuaranteedRef { $0.merge(place, parameters) }
  }

  /// A parameter's elements.
  package func parameter(_ parameter: Parameter) -> UnsafePointer<Float> { self.parameter(at: parameter.offset) }

  /// The parameters' elements from an offset on.
  func parameter(at offset: Int) -> UnsafePointer<Float> { withWorker { $0.parameters } + offset }
}

/// The part of a slice that is in one shard, and in one group of samples of every kind of statistics.
package struct Piece {
  /// The first sample's number within the slice.
  package let start: Int
  package let count: Int
  /// Where its parameter gradients go.
  package let place: GradientPlace
  /// Its group of each kind of statistics, among its owner's, and its number among the rank's pieces of that kind.
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
