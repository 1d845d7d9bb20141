import Collectives
import Layers
import Tensors

extension Engine {
  /// The loss on a batch, and its gradient by all parameters in the places of `parameters`; nothing changes.
  ///
  /// The gradient is 0 at running statistics, and not a number if the loss is not finite. All ranks call it together and
  /// get the same.
  package func gradient(_ batch: Batch) throws -> (result: BatchResult, gradient: AlignedBuffer<Float>) {
    let before = Array(parameters.current)
    let velocities = try exchange.gatheredVelocities()
    // Without momentum and weight decay, a velocity is the gradient.
    let result = try pass(batch, SGD(momentum: 0), learningRate: 0)
    let gradient = try exchange.gatheredVelocities()
    if !result.loss.isFinite { gradient.start.update(repeating: .nan, count: gradient.count) }
    parameters.change { $0.update(from: before, count: before.count) }
    exchange.takeVelocities(velocities.start)
    return (result, gradient)
  }

  /// One channel of the vectors that go into an operation, for each sample of a batch, as in evaluation in fp32.
  ///
  /// All ranks call it together and get the same.
  package func inputs(of name: String, channel: Int, _ batch: Batch) throws -> [Float] {
    invariant(precision == .float32, "inputs of operations are read as Floats")
    let partition = partition(globalCount: batch.globalCount)
    let values = AlignedBuffer<Float>(count: batch.globalCount)
    try run(batch, .evaluation) { [self] worker in
      try forward(worker) { operation, slice in
        guard operation.name == name, let input = operation.inputs.first else { return }
        for (row, sample) in slice.samples.enumerated() {
          values.start[sample] = slice[input][row * input.layout.sampleStride + channel]
        }
      }
    }
    try communicator.allGather(
      UnsafeMutableRawBufferPointer(values.bytes),
      counts: (0..<communicator.size).map { partition.samples(ofRank: $0).count * MemoryLayout<Float>.size })
    return Array(values.elements)
  }
}
