import Collectives
import Kernels
import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// What a slice reads of what is kept, and is brought into the cache while the one before it is computed.
@Suite struct KeptInputsTests {
  private func resnet20() throws -> Network {
    let input = SampleShape(channels: 3, height: 32, width: 32)
    return try Network(
      ModelZoo.model("resnet20", ModelOptions(input: input, classCount: 10)), input: input, classCount: 10)
  }

  /// On the way forward what a batch norm takes; on the way back also what the segment's own convolutions have made and, if
  /// it is kept, what they take.
  @Test func ofResNet20() throws {
    let network = try resnet20()
    let partition = BatchPartition(
      globalCount: 128, shards: 8, grid: WorkerGrid(ranks: 1, threads: 1), statistics: network.statistics)
    let plan = try Plan(network, partitions: [partition], rank: 0)
    func names(_ inputs: KeptInputs) -> [String] {
      inputs.values.map { value in network.operations.first { $0.output == value }?.name ?? "input" }
    }
    let forward = plan.segments.map { names($0.forwardInputs) }
    let backward = plan.segments.map { names($0.backwardInputs) }
    #expect(forward[0].isEmpty && backward[0] == ["conv1"])
    #expect(forward[1] == ["conv1"] && backward[1] == ["conv1", "layer1.0.conv1"])
    #expect(forward[2] == ["layer1.0.conv1"] && backward[2] == ["layer1.0.conv1", "layer1.0.conv2"])
    // Of a chain of blocks one is kept between two that are computed again.
    #expect(forward[3] == ["bn1", "layer1.0.conv2"])
    #expect(backward[3] == ["layer1.0.conv2", "layer1.0.bn2", "layer1.1.conv1"])
    #expect(backward[7].prefix(2) == ["layer1.1.bn2", "layer1.2.conv2"])
  }

  /// What a slice's kernels read ahead is the next slice's, in the memory of fp32 or of bf16; nothing behind the last.
  @Test(arguments: [Precision.float32, .bfloat16]) func readsAheadForTheNextSlice(_ precision: Precision) throws {
    let grid = WorkerGrid(ranks: 1, threads: 1)
    let partition = BatchPartition(globalCount: 10, shards: 2, grid: grid, statistics: [])
    let sum = RunSum(partition.tree, 0..<2)
    let worker = Worker(
      index: 0, grid: grid, communicator: ThreadCommunicator.group(size: 1)[0],
      barrier: Barrier(count: 1, patience: .oversubscribed), seed: 0,
      parameters: UnsafePointer(AlignedBuffer<Float>(count: 1).start), slots: sum.slotCount)
    let value = try #require(resnet20().operations.first?.output)
    let stride = value.layout.sampleStride
    let (floats, halves) = (AlignedBuffer<Float>(count: 10 * stride), AlignedBuffer<UInt16>(count: 10 * stride))
    func places<Element>(_ start: UnsafeMutablePointer<Element>) -> [Worker.Place<Element>] {
      .init(repeating: Worker.Place(start: start, stride: stride), count: value.number + 1)
    }
    worker.assign(
      values: places(floats.start), gradients: [], keptValues: places(halves.start), keptGradients: [])
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
