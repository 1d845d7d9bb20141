import Collectives
import Kernels
import Layers
import Support
import Tensors
import Testing
import Training

/// What a slice reads of what is kept, and is brought into the cache while the one before it is computed.
@Suite struct KeptInputsTests {
  /// What a slice's kernels read ahead is the next slice's, in the memory of fp32 or of bf16; nothing behind the last.
  @Test(arguments: [Precision.float32, .bfloat16]) func readsAheadForTheNextSlice(_ precision: Precision) throws {
    let grid = WorkerGrid(ranks: 1, threads: 1)
    let partition = BatchPartition(globalCount: 10, shards: 2, grid: grid, statistics: [])
    let sum = RunSum(partition.tree, 0..<2)
    let parameters = AlignedBuffer<Float>(count: 1)
    let input = SampleShape(channels: 3, height: 7, width: 6)
    let value = try Network(Sequential { [Flatten(), Linear(2)] }, input: input, classCount: 2).input
    let stride = value.layout.sampleStride
    let (floats, halves) = (AlignedBuffer<Float>(count: 10 * stride), AlignedBuffer<UInt16>(count: 10 * stride))
    func places<Element>(_ start: UnsafeMutablePointer<Element>) -> [ActivationPlaces.Place<Element>] {
      .init(repeating: ActivationPlaces.Place(start: start, stride: stride), count: value.number + 1)
    }
    let worker = Worker(
      index: 0, grid: grid, communicator: ThreadCommunicator.group(size: 1)[0],
      barrier: Barrier(count: 1, patience: .oversubscribed), seed: 0,
      places: [
        ActivationPlaces(
          input: .init(start: nil, stride: 0), values: places(floats.start), gradients: [],
          keptValues: places(halves.start), keptGradients: [])
      ], parameters: UnsafePointer(parameters.start), backwardWeights: parameters.start)
    let slices = Route(worker, partition, sum: sum, sliceSizes: [3]).segments[0].slices
    #expect(slices.map(\.count) == [2, 3, 2, 3])
    for index in slices.indices {
      KeptInputs([value], precision).readAhead(of: slices, behind: index)
      guard index < 3 else { return #expect(worker.kernels.ahead.remaining.isEmpty) }
      let (next, ahead) = (slices[index + 1], worker.kernels.ahead.remaining)
      let count = next.count * stride
      switch precision {
      case .float32:
        #expect(ahead.map(\.count) == [4 * count] && ahead[0].baseAddress == UnsafeRawPointer(next[value]))
      case .bfloat16:
        #expect(ahead.map(\.count) == [2 * count] && ahead[0].baseAddress == UnsafeRawPointer(next.kept(value)))
      }
    }
  }
}
