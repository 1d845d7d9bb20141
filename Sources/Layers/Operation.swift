import Kernels
import Tensors

/// One step of the computation, forward and backward, on a slice of the batch.
///
/// Contract: `forward` overwrites the output. `backward` overwrites the gradients of the inputs; where a value has several
/// consumers, the engine adds them up. Parameter gradients are computed piece by piece, each put where its place says. No
/// operation looks at other samples than its slice's, except through a `Meeting`.
///
/// Conforming classes are `@unchecked Sendable`: kernels are made while the network is compiled, by one thread; what
/// changes in a step is kept per worker, and each worker touches its own.
package protocol Operation: AnyObject, Sendable {
  var wiring: Wiring { get }
  /// What it is, for tables: "Linear".
  var kind: String { get }
  var parameters: [Parameter] { get }

  // MARK: - What the compiler asks

  /// Whether computing the output again costs less than keeping it.
  var isCheap: Bool { get }
  /// Whether `backward` reads the input of that number.
  func backwardReads(input: Int) -> Bool
  /// Whether `backward` reads the output.
  var backwardReadsOutput: Bool { get }
  /// Whether `backward` may write an input's gradient over the output's.
  var backwardWorksInPlace: Bool { get }
  /// Multiplications and additions of one sample's forward pass.
  var flopsPerSample: Int { get }
  /// Which implementations compute it.
  var implementations: [String] { get }

  /// Makes the kernels and the per-worker memory.
  func compile(_ target: CompileTarget)

  /// Elements that `backward` derives from the parameters, once compiled; 0 if it takes them as they are.
  var backwardWeightCount: Int { get }

  /// Of the forms that bf16 training could have, those that the operation takes, once compiled; nil for Floats everywhere.
  func forms(_ offered: StorageForms) -> StorageForms?
  /// Whether, with these forms, it could also read the input of that number as 16-bit numbers, in both passes.
  func takesHalves(input: Int) -> Bool
  /// Whether it could leave its output as 16-bit numbers alone.
  var leavesHalves: Bool { get }
  /// Whether it could read its output's gradient as 16-bit numbers.
  var takesGradientInHalves: Bool { get }
  /// Whether it could leave an input's gradient as 16-bit numbers alone.
  var leavesGradientInHalves: Bool { get }

  /// Says where in a worker's memory `prepareBackward` writes. Other segments' operations may have the same place.
  func placeBackwardWeights(_ place: Int)

  // MARK: - What the engine calls

  /// Whether `forward` needs something that is derived from the parameters.
  func needsPreparation(_ mode: Mode) -> Bool
  /// Derives it from changed parameters; called by one worker.
  func prepare(_ parameters: UnsafePointer<Float>, _ context: KernelContext)
  /// Derives what `backward` needs from the parameters, just before the segment's backward pass; called by every worker of
  /// the rank, each with its share.
  func prepareBackward(_ worker: Worker, _ share: Share)

  func forward(_ slice: Slice)
  func backward(_ slice: Slice)

  /// Puts together the parameter gradients that are known for shards as a whole, when the worker's slices are done.
  func finishBackward(_ worker: Worker)
}

extension Operation {
  package var parameters: [Parameter] { [] }
  package var isCheap: Bool { false }
  package func backwardReads(input: Int) -> Bool { false }
  package var backwardReadsOutput: Bool { false }
  package var backwardWorksInPlace: Bool { false }
  package var implementations: [String] { [] }
  package var backwardWeightCount: Int { 0 }
  package func forms(_ offered: StorageForms) -> StorageForms? { nil }
  package func takesHalves(input: Int) -> Bool { false }
  package var leavesHalves: Bool { false }
  package var takesGradientInHalves: Bool { false }
  package var leavesGradientInHalves: Bool { false }
  package func compile(_ target: CompileTarget) {}
  package func placeBackwardWeights(_ place: Int) {}
  package func needsPreparation(_ mode: Mode) -> Bool { false }
  package func prepare(_ parameters: UnsafePointer<Float>, _ context: KernelContext) {}
  package func prepareBackward(_ worker: Worker, _ share: Share) {}
  package func finishBackward(_ worker: Worker) {}

  package var name: String { wiring.name }
  package var inputs: [Value] { wiring.inputs }
  package var forms: StorageForms { wiring.forms }
  package var output: Value { wiring.output }

  /// Elements of a slice's output.
  func elements(_ slice: Slice) -> Int { slice.count * output.layout.sampleStride }
}

/// An operation's place in the network.
///
/// Sendable: written only while a network is compiled, by one thread. Where small steps read a variable hundreds of times,
/// checks that nobody writes it meanwhile would cost a hundredth of them.
package final class Wiring: @unchecked Sendable {
  /// The layer's name.
  package let name: String
  @exclusivity(unchecked) package fileprivate(set) var inputs: [Value]
  @exclusivity(unchecked) package var output: Value
  /// Whether the gradient of each input is wanted.
  @exclusivity(unchecked) package var needsInputGradient: [Bool]
  /// Whether another operation has written an input's gradient before.
  @exclusivity(unchecked) package var addsToInputGradient: [Bool]
  @exclusivity(unchecked) package var forms: StorageForms

  package init(_ name: String, _ inputs: [Value], _ output: Value) {
    self.name = name
    self.inputs = inputs
    self.output = output
    needsInputGradient = inputs.map { _ in true }
    addsToInputGradient = inputs.map { _ in false }
    forms = StorageForms(inputCount: inputs.count)
  }

  func addInput(_ value: Value) {
    inputs.append(value)
    needsInputGradient.append(true)
    addsToInputGradient.append(false)
    forms = StorageForms(inputCount: inputs.count)
  }
}

/// What operations are compiled for.
package struct CompileTarget: Sendable {
  /// How the batches of training are divided: full ones, and the epoch's last.
  package let partitions: [BatchPartition]
  package let rank: Int
  /// Computing threads of this rank.
  package let workers: Int
  /// The most samples of one kernel call of this operation.
  package let sliceSize: Int
  /// Which kernels convolutions take, by their layers' names, if not the usual ones.
  package let algorithms: [String: ConvolutionAlgorithms]?
  /// Whether convolutions and linear layers see bf16 numbers only.
  package let inBFloat16: Bool

  package init(
    partitions: [BatchPartition], rank: Int, sliceSize: Int, algorithms: [String: ConvolutionAlgorithms]? = nil,
    inBFloat16: Bool = false
  ) {
    self.partitions = partitions
    self.rank = rank
    workers = partitions[0].grid.threads
    self.sliceSize = sliceSize
    self.algorithms = algorithms
    self.inBFloat16 = inBFloat16
  }

  /// The most samples a worker of this rank has.
  package var samplesPerWorker: Int {
    partitions.flatMap { partition in
      (0..<workers).map { partition.samples(ofShards: partition.shards(ofWorker: rank * workers + $0)).count }
    }.max() ?? 0
  }
}
