import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// How networks are fused, cut into segments and laid out.
@Suite struct PlanTests {
  private func resnet20() throws -> Network {
    let input = SampleShape(channels: 3, height: 32, width: 32)
    return try Network(
      ModelZoo.model("resnet20", ModelOptions(input: input, classCount: 10)), input: input, classCount: 10)
  }

  private func plan(
    _ network: Network, batchSizes: [Int], shards: Int, grid: WorkerGrid, precision: Precision = .float32
  ) throws -> Plan {
    try Plan(
      network,
      partitions: batchSizes.map {
        BatchPartition(globalCount: $0, shards: shards, grid: grid, statistics: network.statistics)
      }, rank: 0, precision: precision)
  }

  /// 19 convolutions and 2 projections, a batch norm each; every ReLU and every sum becomes part of a batch norm.
  @Test func resnet20Fuses() throws {
    let kinds = try resnet20().operations.map(\.kind)
    func count(_ prefix: String) -> Int { kinds.count { $0.hasPrefix(prefix) } }
    #expect(count("Convolution") == 21)
    #expect(count("BatchNorm moments") == 21)
    #expect(kinds.count { $0 == "BatchNorm" } == 2)  // of the projections
    #expect(kinds.count { $0 == "BatchNorm + ReLU" } == 10)
    #expect(kinds.count { $0 == "BatchNorm + residual + ReLU" } == 9)
    #expect(count("Linear") == 1 && count("AveragePooling") == 1 && count("SoftmaxCrossEntropy") == 1)
    #expect(kinds.count == 66)
  }

  /// Group norms fuse as batch norms do, and leave nothing to meet for but the loss.
  @Test func groupNormsFuse() throws {
    let input = SampleShape(channels: 3, height: 32, width: 32)
    let options = ModelOptions(input: input, classCount: 10, normalization: .group)
    let network = try Network(ModelZoo.model("resnet20", options), input: input, classCount: 10)
    let kinds = network.operations.map(\.kind)
    #expect(kinds.count { $0 == "GroupNorm" } == 2)  // of the projections
    #expect(kinds.count { $0 == "GroupNorm + ReLU" } == 10)
    #expect(kinds.count { $0 == "GroupNorm + residual + ReLU" } == 9)
    #expect(kinds.count == 45)
    let plan = try plan(network, batchSizes: [22], shards: 8, grid: WorkerGrid(ranks: 1, threads: 2))
    #expect(plan.segments.count == 1)
  }

  /// A function is applied in a normalization's pass, unless a maximum is taken between them, or something marks the place.
  @Test func functionsFuse() throws {
    let model = Sequential {
      Convolution(4, kernel: 3, padding: 1)
      BatchNorm()
      MaxPooling(2)
      Sigmoid()
      Convolution(4, kernel: 3, padding: 1)
      BatchNorm()
      Sigmoid()
      MaxPooling(2)
      BatchNorm()
      Identity()
      Tanh()
      Flatten()
      Linear(5)
      BatchNorm()
      Sigmoid()
      Linear(5)
      GroupNorm(1)
      Tanh()
      Linear(2)
    }
    let network = try Network(model, input: SampleShape(channels: 3, height: 6, width: 4), classCount: 2)
    let expected = [
      "BatchNorm + MaxPooling 2x2", "Sigmoid", "BatchNorm + Sigmoid", "MaxPooling 2x2", "BatchNorm", "Identity", "Tanh",
      "BatchNorm + Sigmoid", "GroupNorm + Tanh",
    ]
    #expect(network.operations.map(\.kind).filter { expected.contains($0) } == expected)
  }

  /// At most 32 groups, of four channels or more.
  @Test func groupsOfChannels() {
    let groups = [3, 5, 16, 32, 64, 100, 128, 512].map(ModelOptions.Normalization.groups)
    #expect(groups == [1, 1, 4, 8, 16, 25, 32, 32])
  }

  /// A batch norm whose output something else reads too must stay as it is.
  @Test func sharedOutputsAreNotFused() throws {
    let model = Sequential {
      Convolution(4, kernel: 3, padding: 1)
      BatchNorm()
      Residual(rectifies: true) {
        ReLU()
        Convolution(4, kernel: 3, padding: 1)
      }
      GlobalAveragePooling()
      Linear(2)
    }
    let network = try Network(model, input: SampleShape(channels: 3, height: 7, width: 5), classCount: 2)
    let kinds = network.operations.map(\.kind)
    #expect(kinds.contains("BatchNorm") && kinds.contains("ReLU") && kinds.contains("Sum + ReLU"))
  }

  /// Every operation once, after what it reads; a batch norm's second half in a later segment than its first.
  @Test func segmentsKeepTheOrder() throws {
    let network = try resnet20()
    let plan = try plan(network, batchSizes: [22], shards: 8, grid: WorkerGrid(ranks: 1, threads: 2))
    #expect(plan.segments.reduce(0) { $0 + $1.operations.count } == network.operations.count)
    // One meeting per batch norm forward, but for those of a projection and of the main path, which meet together.
    #expect(plan.segments.count == 20)
    var segmentOfValue = [network.input.number: 0]
    for (number, segment) in plan.segments.enumerated() {
      for operation in segment.operations {
        for input in operation.inputs {
          let producer = try #require(segmentOfValue[input.number], "\(operation.name) comes before what it reads")
          let meets = network.operations.contains {
            $0.output == input && ($0 as? any MeetingParticipant)?.meetsForward == true
          }
          #expect(producer < number || !meets, "\(operation.name) is in the segment that its moments end")
        }
        segmentOfValue[operation.output.number] = number
      }
    }
  }

  /// Kept inputs are on the way forward what a batch norm takes; on the way back also what the segment's own convolutions
  /// have made and, if it is kept, what they take.
  @Test func keptInputsOfResNet20() throws {
    let network = try resnet20()
    let plan = try plan(network, batchSizes: [128], shards: 8, grid: WorkerGrid(ranks: 1, threads: 1))
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

  /// What decides bits depends on the batch and its shards, not on who computes them.
  @Test func slicesDoNotDependOnTheGrid() throws {
    let grids = [(1, 1), (1, 2), (2, 1), (4, 2)].map { WorkerGrid(ranks: $0, threads: $1) }
    let plans = try grids.map { try plan(resnet20(), batchSizes: [64, 10], shards: 8, grid: $0) }
    let sizes = plans.map { $0.segments.map(\.sliceSize) }
    #expect(sizes.allSatisfy { $0 == sizes[0] })
    #expect(plans.allSatisfy { $0.parameterCount == plans[0].parameterCount })
    // A shard of thousands of samples is cut.
    #expect(sizes[0].allSatisfy { (1...4095).contains($0) })
  }

  /// What is kept takes half, the slices that operations compute on a little more.
  @Test func bfloat16TakesLessMemory() throws {
    let counts = try [Precision.float32, .bfloat16].map {
      try plan(resnet20(), batchSizes: [128], shards: 8, grid: WorkerGrid(ranks: 1, threads: 2), precision: $0).memory
        .count
    }
    #expect(counts[1] * 10 < counts[0] * 7 && counts[1] * 2 > counts[0], "\(counts)")
  }

  /// The elements of a worker's arena beside the batch itself, in units of one activation of the whole batch, for `blocks`
  /// residual blocks of two convolutions or for as many convolutions one after the other.
  private func activations(blocks: Int, residual: Bool) throws -> Double {
    let input = SampleShape(channels: 16, height: 16, width: 16)
    let layers: [any Layer] = [Convolution(16, kernel: 3, padding: 1), BatchNorm(), ReLU()]
    let blocks: [[any Layer]] = (0..<blocks).map { _ in
      let block = layers + layers.dropLast()
      return residual ? [Residual(rectifies: true) { block }] : layers
    }
    let model = Sequential { layers + blocks.joined() + [GlobalAveragePooling(), Linear(2)] }
    let network = try Network(model, input: input, classCount: 2)
    let plan = try plan(network, batchSizes: [256], shards: 4, grid: WorkerGrid(ranks: 1, threads: 1))
    return Double(plan.memory.count) / Double(256 * input.count) - 1
  }

  /// Two more residual blocks keep four outputs of convolutions and one of their own two: the other is computed again.
  @Test func everyOtherBlockIsKept() throws {
    let counts = try [4, 6, 8].map { try activations(blocks: $0, residual: true) }
    #expect(counts[1] - counts[0] == 5 && counts[2] - counts[1] == 5, "\(counts)")
  }

  /// Beside the outputs of 9 convolutions and the slices' own memory there is room for one gradient, in which all others
  /// follow; two would take 12.25. In a residual network there is also the gradient of the way around the blocks, and
  /// without such succession 25.25 in all.
  @Test func gradientsTakeOverMemory() throws {
    let (chain, blocks) = try (activations(blocks: 8, residual: false), activations(blocks: 8, residual: true))
    #expect(chain < 12 && blocks < 25, "\(chain), \(blocks)")
  }

  /// Each parameter has a place of its own, within its segment's.
  @Test func parametersDoNotOverlap() throws {
    let network = try resnet20()
    let plan = try plan(network, batchSizes: [22], shards: 8, grid: WorkerGrid(ranks: 1, threads: 1))
    #expect(plan.parameters.count == network.parameters.count)
    var end = 0
    for parameter in plan.parameters {
      #expect(parameter.offset >= end && parameter.offset % 16 == 0, "\(parameter.name)")
      end = parameter.range.upperBound
    }
    #expect(end <= plan.parameterCount)
    for segment in plan.segments {
      let isInside = segment.operations.flatMap(\.parameters).allSatisfy {
        segment.parameters.lowerBound <= $0.offset && $0.range.upperBound <= segment.parameters.upperBound
      }
      #expect(isInside)
    }
  }
}
