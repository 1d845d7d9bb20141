import Kernels
import Tensors

/// A shard of the current batch, in the hands of the worker that owns it.
package struct Shard {
  package let number: Int
  package unowned(unsafe) let worker: Worker

  package init(number: Int, worker: Worker) {
    self.number = number
    self.worker = worker
  }

  /// Its samples in the global batch.
  package var samples: Range<Int> { worker.partition.samples(ofShard: number) }

  /// The groups of samples it has pieces of.
  package func groups(_ statistics: Statistics) -> Range<Int> {
    worker.partition.groups(statistics).groupsOfShard[number]
  }

  /// Where the shard's gradient of a parameter goes.
  package func gradient(_ parameter: Parameter) -> UnsafeMutablePointer<Float> {
    worker.parameterGradients + parameter.offset
  }
}

/// The samples of a shard that one kernel call takes.
package struct Slice {
  package let shard: Shard
  /// The samples, numbered in the global batch.
  package let samples: Range<Int>

  package init(shard: Shard, samples: Range<Int>) {
    self.shard = shard
    self.samples = samples
  }

  package var count: Int { samples.count }
  package var worker: Worker { shard.worker }
  package var kernels: KernelContext { shard.worker.kernels }
  package var isTraining: Bool { shard.worker.mode == .training }
  /// Whether parameter gradients are overwritten rather than added to.
  package var isFirstOfShard: Bool { samples.lowerBound == shard.samples.lowerBound }
  /// The first sample's number among the worker's own.
  package var localStart: Int { samples.lowerBound - shard.worker.samples.lowerBound }

  /// The group of samples that the slice is part of; slices do not cross groups.
  package func group(_ statistics: Statistics) -> Int {
    let groups = shard.worker.partition.groups(statistics)
    for group in groups.groupsOfShard[shard.number] where groups.groups[group].samples.contains(samples.lowerBound) {
      return group
    }
    invariantFailure("sample \(samples.lowerBound) is in no group of \(statistics) statistics")
  }

  /// The slice's part of an activation.
  package subscript(_ value: Value) -> UnsafeMutablePointer<Float> {
    guard let start = worker.values[value.number] else { invariantFailure("value \(value.number) has no memory") }
    return start + (worker.valueIsKept[value.number] ? localStart * value.layout.sampleStride : 0)
  }

  /// The slice's part of the loss's gradient by an activation.
  package func gradient(_ value: Value) -> UnsafeMutablePointer<Float> {
    guard let start = worker.gradients[value.number] else { invariantFailure("value \(value.number) has no gradient") }
    return start + (worker.gradientIsKept[value.number] ? localStart * value.layout.sampleStride : 0)
  }

  /// Where an operation writes the gradient of an input; nil if nobody wants it.
  package func inputGradient(_ operation: some Operation, _ index: Int) -> UnsafeMutablePointer<Float>? {
    guard operation.wiring.needsInputGradient[index] else { return nil }
    return operation.wiring.addsToInputGradient[index]
      ? worker.gradientScratch[index] : gradient(operation.inputs[index])
  }

  /// A parameter's elements.
  package func parameter(_ parameter: Parameter) -> UnsafePointer<Float> { worker.parameters + parameter.offset }
}
