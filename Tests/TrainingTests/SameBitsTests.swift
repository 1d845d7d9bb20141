import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// The first promise, in process: the same model and losses, bit for bit, on any grid of workers.
@Suite(.serialized) struct SameBitsTests {
  static let grids = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3), (5, 1), (2, 5)]

  private func expectSameBits(
    _ run: TrainingRun, grids: [(Int, Int)] = Self.grids, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let reference = try run.outcome(ranks: 1, threads: 1)
    for (ranks, threads) in grids {
      let outcome = try run.outcome(ranks: ranks, threads: threads)
      let difference = outcome.difference(from: reference)
      #expect(difference == nil, "\(ranks) ranks x \(threads) threads", sourceLocation: sourceLocation)
    }
  }

  /// Ranks that share memory, ranks that do not, and both at once.
  @Test(arguments: [[[0], [1]], [[0, 1], [2]], [[0, 2], [1, 3]], [[0], [1, 2], [3, 4]]])
  func machines(_ machines: [[Int]]) throws {
    let input = SampleShape(channels: 3, height: 9, width: 8)
    for name in ["mlp", "resnet20"] {
      var run = TrainingRun(input: input, batchSize: 22) {
        try ModelZoo.model(name, ModelOptions(input: input, classCount: 10))
      }
      run.lastBatchSize = 5
      let reference = try run.outcome(ranks: 1, threads: 1)
      for threads in 1...2 {
        let difference = try run.outcome(machines: machines, threads: threads).difference(from: reference)
        #expect(difference == nil, "\(name), \(threads) threads")
      }
    }
  }

  @Test func perceptron() throws {
    let input = SampleShape(channels: 1, height: 7, width: 5)
    var run = TrainingRun(input: input, batchSize: 37) {
      try ModelZoo.model("mlp", ModelOptions(input: input, classCount: 10, dropout: 0.2))
    }
    run.lastBatchSize = 11
    try expectSameBits(run)
  }

  /// Shards whose products with the gradient are made in several passes.
  @Test func largeShards() throws {
    let input = SampleShape(channels: 1, height: 7, width: 5)
    var run = TrainingRun(input: input, batchSize: 2_400) {
      try ModelZoo.model("mlp", ModelOptions(input: input, classCount: 10))
    }
    run.lastBatchSize = 2_100
    try expectSameBits(run)
  }

  @Test(arguments: [ModelOptions.Normalization.group, .layer])
  func residualNetworkOfSampleNorms(normalization: ModelOptions.Normalization) throws {
    let input = SampleShape(channels: 3, height: 9, width: 8)
    var run = TrainingRun(input: input, batchSize: 22) {
      try ModelZoo.model("resnet20", ModelOptions(input: input, classCount: 10, normalization: normalization))
    }
    run.lastBatchSize = 5
    run.steps = 3
    try expectSameBits(run)
  }

  @Test func residualNetwork() throws {
    let input = SampleShape(channels: 3, height: 9, width: 8)
    var run = TrainingRun(input: input, batchSize: 22) {
      try ModelZoo.model("resnet20", ModelOptions(input: input, classCount: 10, dropout: 0.1))
    }
    run.lastBatchSize = 5
    try expectSameBits(run)
  }

  /// Images large enough that a worker's samples go through a segment in several slices, which share their scratch.
  private func expectSameBitsInSlices(_ model: @escaping @Sendable (SampleShape) throws -> any Layer) throws {
    let input = SampleShape(channels: 3, height: 32, width: 32)
    var run = TrainingRun(input: input, batchSize: 45) { try model(input) }
    (run.lastBatchSize, run.steps, run.precision) = (5, 3, .bfloat16)
    try expectSameBits(run, grids: [(1, 2), (3, 1), (5, 1)])
  }

  @Test func bfloat16() throws {
    try expectSameBitsInSlices {
      try ModelZoo.model("resnet20", ModelOptions(input: $0, classCount: 10, dropout: 0.1))
    }
  }

  /// A gradient is begun in one segment, added to in another, and completed in a third.
  @Test func bfloat16NestedResiduals() throws {
    try expectSameBitsInSlices { _ in
      Sequential {
        Convolution(8, kernel: 3, padding: 1)
        Residual {
          Residual {
            Convolution(8, kernel: 3, padding: 1)
            BatchNorm()
          }
          Convolution(8, kernel: 3, padding: 1)
          BatchNorm()
        }
        GlobalAveragePooling()
        Linear(10)
      }
    }
  }
}
