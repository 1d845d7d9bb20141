import Layers
import Support
import Testing

/// Outputs, gradients and running statistics are the same, bit for bit, on any grid of ranks and threads.
@Suite struct PartEqualsWholeTests {
  static let grids = [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (5, 1), (5, 2), (1, 5)]

  private func firstDifference(_ run: LayerRun, shards: Int, grids: [(Int, Int)]) throws -> String? {
    let whole = try run.outcome(.init(shards: shards))
    for (ranks, threads) in grids {
      let outcome = try run.outcome(.init(ranks: ranks, threads: threads, shards: shards))
      if let difference = outcome.difference(from: whole) { return "\(difference) on \(ranks) x \(threads)" }
    }
    return nil
  }

  /// 7 samples in 5 shards: unequal shards, and with 10 workers some have none.
  @Test(arguments: LayerCases.names) func sevenSamplesInFiveShards(_ name: String) throws {
    let difference = try firstDifference(LayerCases.run(name, samples: 7), shards: 5, grids: Self.grids)
    #expect(difference == nil)
  }

  static let largeNames = [
    "batch norm", "batch norm, ghost:2", "batch norm, mixed statistics", "batch norm, momentum nil", "cross-entropy",
    "dropout", "group norm, groups", "layer norm", "nested residuals", "residual", "residual of group norms",
    "residual with projection", "smooth network", "vectors: group norm", "vectors: two linear", "vectors: wide linear",
    "vectors: wide linear, batch norm",
  ]

  @Test(arguments: largeNames) func twentyTwoSamplesInEightShards(_ name: String) throws {
    let difference = try firstDifference(
      LayerCases.run(name, samples: 22), shards: 8, grids: [(2, 1), (2, 2), (3, 1), (4, 2), (5, 1)])
    #expect(difference == nil)
  }

  /// 3 samples in 6 shards: workers with shards but no samples.
  @Test(arguments: largeNames) func threeSamplesInSixShards(_ name: String) throws {
    let difference = try firstDifference(
      LayerCases.run(name, samples: 3), shards: 6, grids: [(2, 1), (2, 2), (3, 1), (5, 2)])
    #expect(difference == nil)
  }

  /// Fewer shards than workers: some own nothing, but want the sums of all.
  @Test(arguments: ["batch norm", "batch norm, ghost:2", "cross-entropy", "dropout"], [1, 2])
  func fewerShardsThanWorkers(_ name: String, shards: Int) throws {
    let difference = try firstDifference(
      LayerCases.run(name, samples: 5), shards: shards, grids: [(1, 2), (2, 1), (2, 2), (3, 1), (1, 5)])
    #expect(difference == nil)
  }

  /// A step behind a saved model is the one that would have followed: nothing that counts lies in the padding of channels,
  /// which is not saved. Not for layers whose random numbers, or averages, have the step's number as a key.
  @Test(
    arguments: LayerCases.names.filter { name in
      !["dropout", "noise", "momentum nil"].contains { name.contains($0) }
    })
  func goesOnFromItsModel(_ name: String) throws {
    var run = try LayerCases.run(name, samples: 7)
    run.learningRate = 0.1
    let batches = [run.batches[0], LayerRun.random(run.batches[0].count, number: 9), run.batches[0]]
    run.batches = batches
    let whole = try run.outcome(.init(shards: 3))
    run.batches = Array(batches[..<2])
    run.values = try run.outcome(.init(shards: 3)).model
    run.batches = [batches[2]]
    #expect(try run.outcome(.init(shards: 3)).difference(from: whole) == nil)
  }

  /// One group of samples, which only the first workers have pieces of.
  @Test func ghostLargerThanTheBatch() throws {
    let run = try LayerRun(LayerCases.image, samples: 3, LayerCases.norms(.ghost(4)))
    let difference = try firstDifference(run, shards: 6, grids: [(2, 1), (1, 2), (2, 2), (3, 2)])
    #expect(difference == nil)
  }

  /// Where each worker has exactly N samples, `local` is `ghost:N`.
  @Test(arguments: [(2, 1, 4, 6), (1, 2, 4, 6), (2, 2, 4, 3), (4, 1, 4, 3), (3, 1, 6, 4), (3, 2, 12, 2), (1, 1, 5, 12)])
  func localIsGhost(ranks: Int, threads: Int, shards: Int, samplesPerWorker: Int) throws {
    func run(_ statistics: Statistics) throws -> LayerRun {
      try LayerRun(LayerCases.image, samples: 12, LayerCases.norms(statistics))
    }
    let local = try run(.local).outcome(.init(ranks: ranks, threads: threads, shards: shards))
    let ghost = try run(.ghost(samplesPerWorker)).outcome(.init(shards: shards))
    #expect(local.difference(from: ghost) == nil)
    if samplesPerWorker < 12 {
      let sync = try run(.sync).outcome(.init(shards: shards))
      #expect(local.difference(from: sync) == "y")
    }
  }

  /// The same after several steps of training, running statistics and momentum among them.
  @Test(arguments: [(2, 1, 6), (2, 2, 3), (4, 1, 3)])
  func localIsGhostInTraining(ranks: Int, threads: Int, samplesPerWorker: Int) throws {
    func outcome(_ statistics: Statistics, ranks: Int, threads: Int) throws -> TrainingRun.Outcome {
      var run = TrainingRun(input: LayerCases.image, batchSize: 12) { LayerCases.classifier(statistics) }
      run.shards = 4
      run.steps = 5
      return try run.outcome(ranks: ranks, threads: threads)
    }
    let local = try outcome(.local, ranks: ranks, threads: threads)
    let ghost = try outcome(.ghost(samplesPerWorker), ranks: 1, threads: 1)
    #expect(local.difference(from: ghost) == nil)
    #expect(local.losses.first != local.losses.last)
  }
}

extension LayerCases {
  static let localNorms = norms(.local)

  static func norms(_ statistics: Statistics) -> Sequential {
    Sequential {
      Convolution(5, kernel: 3, padding: 1)
      BatchNorm(statistics: statistics)
      Tanh()
      BatchNorm(momentum: 0.3, statistics: statistics)
      Convolution(4, kernel: 3, stride: 2)
      BatchNorm(affine: false, statistics: statistics)
    }
  }

  static func classifier(_ statistics: Statistics) -> Sequential {
    Sequential {
      norms(statistics)
      ReLU()
      GlobalAveragePooling()
      Linear(10)
    }
  }
}
