import Kernels
import Layers
import Tensors

/// A network compiled for a batch size, a number of shards and a grid of workers: a flat list of segments, a place for
/// every activation and gradient, and a place for every parameter.
///
/// What decides bits (segments, slices) depends on the network, the batch and the number of shards alone.
package struct Plan: Sendable {
  /// A stretch of the network that needs nothing from other shards.
  ///
  /// A class, because workers pass it on in every step, without counting references to what is in it.
  package final class Segment: Sendable {
    package let number: Int
    package let operations: SharedArray<any Operation>
    /// Those with a backward pass: all but what lies before the first learned parameter.
    package let differentiated: SharedArray<Differentiated>
    /// The operations whose outputs the backward pass computes again.
    package let recomputed: SharedArray<any Operation>
    package let forwardMeetings: SharedArray<Meeting>
    package let backwardMeetings: SharedArray<Meeting>
    /// The most samples of one kernel call.
    package let sliceSize: Int
    /// Its parameters' place in the flat array.
    package let parameters: Range<Int>
    /// What bf16 training does around the operations; nil in fp32.
    let conversions: Conversions?
    package let forwardInputs: KeptInputs
    package let backwardInputs: KeptInputs

    fileprivate init(
      _ number: Int, _ operations: [any Operation], differentiated: [any Operation], recomputed: [any Operation],
      inputs: (forward: KeptInputs, backward: KeptInputs), conversions: Conversions?, sliceSize: Int,
      parameters: Range<Int>, _ target: CompileTarget
    ) {
      func meetings(_ operations: [any Operation], forward: Bool) -> SharedArray<Meeting> {
        let participants = operations.compactMap { $0 as? any MeetingParticipant }
        return SharedArray(Meeting.meetings(of: participants.filter { $0.meetsForward == forward }, target))
      }
      self.number = number
      self.operations = SharedArray(operations)
      self.differentiated = SharedArray(differentiated.map(Differentiated.init))
      self.recomputed = SharedArray(recomputed)
      forwardMeetings = meetings(operations, forward: true)
      backwardMeetings = meetings(differentiated, forward: false)
      self.conversions = conversions
      (forwardInputs, backwardInputs) = inputs
      (self.sliceSize, self.parameters) = (sliceSize, parameters)
    }
  }

  /// An operation, and those of its inputs to whose gradients it adds, as other operations have done before.
  package struct Differentiated: Sendable {
    package let operation: any Operation
    let additions: [(input: Int, value: Value)]

    fileprivate init(_ operation: any Operation) {
      self.operation = operation
      let wiring = operation.wiring
      additions = operation.inputs.enumerated().filter { index, _ in
        wiring.needsInputGradient[index] && wiring.addsToInputGradient[index]
      }.map { ($0, $1) }
    }
  }

  package let network: Network
  package let segments: SharedArray<Segment>
  /// The meeting that sums up the loss: one of the last segment's, in training at the end of its backward pass, else of the
  /// forward pass.
  package let lossMeeting: SharedArray<Meeting>
  /// The operations to be prepared before a forward pass, of training and of evaluation.
  private let prepared: (training: SharedArray<any Operation>, evaluation: SharedArray<any Operation>)
  package let memory: ActivationMemory
  /// Parameters in the order of their places.
  package let parameters: [Parameter]
  /// Elements of the flat parameter array, including padding.
  package let parameterCount: Int

  package init(
    _ network: Network, partitions: [BatchPartition], rank: Int, precision: Precision = .float32,
    kernels: KernelPlan? = nil
  ) throws {
    self.network = network
    let groups = Segmentation.segments(of: network)
    let samples = CompileTarget(partitions: partitions, rank: rank, sliceSize: 1).samplesPerWorker
    try kernels?.check(network, segments: groups.count, inBFloat16: precision == .bfloat16)
    let sliceSizes =
      kernels?.sliceSizes
      ?? groups.map { SliceSize.samples(for: $0, input: network.input, shard: partitions[0].largestShard) }
    let liveness = Liveness(network, groups)
    liveness.wireGradients()
    let targets = sliceSizes.map {
      CompileTarget(
        partitions: partitions, rank: rank, sliceSize: $0, algorithms: kernels?.convolutions,
        inBFloat16: precision == .bfloat16)
    }
    for (operations, target) in zip(groups, targets) {
      for operation in operations { operation.compile(target) }
    }
    liveness.wireForms(precision)

    var segments: [Segment] = []
    var offset = 0
    var parameters: [Parameter] = []
    for (number, operations) in groups.enumerated() {
      let start = offset
      for operation in operations {
        for parameter in operation.parameters {
          parameter.place(at: offset)
          offset += paddedCount(parameter.layout.count)
          parameters.append(parameter)
        }
      }
      segments.append(
        Segment(
          number, operations, differentiated: liveness.differentiated(in: number),
          recomputed: liveness.recomputed(in: number),
          inputs: KeptInputs.inputs(of: number, liveness, precision),
          conversions: precision == .bfloat16 ? Conversions(liveness, segment: number) : nil,
          sliceSize: sliceSizes[number], parameters: start..<offset, targets[number]))
    }
    self.segments = SharedArray(segments)
    lossMeeting = SharedArray(segments[segments.count - 1].backwardMeetings.filter { $0.includes(network.loss) })
    func toPrepare(_ mode: Mode) -> SharedArray<any Operation> {
      SharedArray(groups.joined().filter { $0.needsPreparation(mode) })
    }
    prepared = (toPrepare(.training), toPrepare(.evaluation))
    self.parameters = parameters
    parameterCount = offset
    memory = ActivationMemory(
      liveness, precision, sliceSizes: sliceSizes.map { min($0, samples) }, samplesPerWorker: samples)
  }

  /// Hands over the operations to be prepared before a forward pass: one array or the other in a variable would count
  /// references.
  func forEachPrepared(_ mode: Mode, _ body: (any Operation) -> Void) {
    if mode == .evaluation { prepared.evaluation.forEach(body) } else { prepared.training.forEach(body) }
  }

  /// The variance of one element is no variance.
  ///
  /// - Throws: `LockstepError` if a batch norm would take one in training.
  static func checkCounts(_ network: Network, _ partitions: [BatchPartition]) throws {
    for norm in network.normalizations where norm.inputs[0].layout.positions == 1 {
      for partition in partitions {
        for group in partition.groups(norm.statistics).groups where group.samples.count == 1 {
          throw LockstepError(
            "batch norm \(norm.name) would take its \(norm.statistics) statistics over a single value per channel"
              + " (sample \(group.samples.lowerBound) of a batch of \(partition.globalCount));"
              + " choose a batch size, or a number of workers or ghost samples, that leaves at least two")
        }
      }
    }
  }
}
