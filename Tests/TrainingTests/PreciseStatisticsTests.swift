import Collectives
import Datasets
import Layers
import Support
import Tensors
import Testing
import Training

/// Statistics recomputed over many batches, against Double and on other grids.
@Suite struct PreciseStatisticsTests {
  static let features = 5
  static let batch = 12
  /// 4 batches; the last has 7 samples.
  static let samples = 43

  /// The second batch norm sees what the first makes of each batch.
  private static func trainer(
    _ communicator: any Communicator, threads: Int, statistics: Statistics = .sync
  ) throws -> Trainer {
    let model = Sequential {
      BatchNorm(statistics: statistics).named("first")
      ReLU()
      BatchNorm(statistics: statistics).named("second")
      Linear(3)
    }
    let labels = (0..<samples).map { Int32($0 % 3) }
    let train = LabeledSamples(floats: x, labels: labels, shape: .features(features))
    var options = TrainingOptions()
    options.globalBatchSize = batch
    options.shards = 5
    options.threads = threads
    options.shuffles = false
    return try Trainer(
      model, data: Dataset(name: "noise", classCount: 3, train: train, test: nil, augmentation: .none),
      options: options, communicator: communicator)
  }

  /// Features of different means and deviations.
  private static let x = LayerRun.random(samples * features, number: 5).enumerated().map { index, noise in
    let feature = Float(index % features)
    return 0.5 * feature - 1 + (0.5 + feature) * noise
  }

  private func running(_ model: Safetensors) -> [String: [Float]] {
    let names = model.names.filter { $0.contains("running") }
    return Dictionary(uniqueKeysWithValues: names.map { ($0, model[$0]!.floats) })
  }

  /// Mean and unbiased variance of each feature.
  private func moments(_ rows: [[Double]]) -> (mean: [Float], variance: [Float]) {
    let n = Double(rows.count)
    let mean = (0..<Self.features).map { c in rows.reduce(0) { $0 + $1[c] } / n }
    let variance = (0..<Self.features).map { c in
      rows.reduce(0) { $0 + ($1[c] - mean[c]) * ($1[c] - mean[c]) } / (n - 1)
    }
    return (mean.map { Float($0) }, variance.map { Float($0) })
  }

  private func normalizedAndRectified(_ rows: [[Double]]) -> [[Double]] {
    let n = Double(rows.count)
    let columns = (0..<Self.features).map { c in
      let mean = rows.reduce(0) { $0 + $1[c] } / n
      let variance = rows.reduce(0) { $0 + ($1[c] - mean) * ($1[c] - mean) } / n
      return rows.map { max(0, ($0[c] - mean) / (variance + 1e-5).squareRoot()) }
    }
    return rows.indices.map { row in columns.map { $0[row] } }
  }

  @Test(arguments: [1, 3, 4]) func againstDouble(batches: Int) throws {
    let trainer = try Self.trainer(ThreadCommunicator.alone, threads: 2)
    try trainer.recomputeStatistics(batches: batches)
    let rows = (0..<Self.samples).map { row in (0..<Self.features).map { Double(Self.x[row * Self.features + $0]) } }
    let parts = (0..<batches).map { Array(rows[$0 * Self.batch..<min(($0 + 1) * Self.batch, rows.count)]) }
    let first = moments(parts.flatMap(\.self))
    let second = moments(parts.flatMap(normalizedAndRectified))
    let found = running(trainer.model)
    #expect(relativeError(found["first.running_mean"]!, first.mean) < 1e-6)
    #expect(relativeError(found["first.running_var"]!, first.variance) < 1e-6)
    #expect(relativeError(found["second.running_mean"]!, second.mean) < 1e-6)
    #expect(relativeError(found["second.running_var"]!, second.variance) < 1e-6)
  }

  @Test func sameBitsOnAnyGrid() throws {
    func statistics(_ ranks: Int, _ threads: Int) throws -> [[String: [Float]]] {
      try asRanks(ranks) { communicator in
        let trainer = try Self.trainer(communicator, threads: threads)
        try trainer.recomputeStatistics(batches: 4)
        return running(trainer.model)
      }
    }
    let reference = try statistics(1, 1)[0]
    for (ranks, threads) in [(1, 2), (2, 1), (2, 2), (3, 1), (1, 5), (5, 1)] {
      let isSame = try statistics(ranks, threads).allSatisfy { $0 == reference }
      #expect(isSame, "\(ranks) x \(threads)")
    }
  }

  @Test func whatCannotBeRecomputedIsRefused() throws {
    func complaint(batches: Int, _ statistics: Statistics = .sync) throws -> String? {
      do {
        try Self.trainer(ThreadCommunicator.alone, threads: 1, statistics: statistics)
          .recomputeStatistics(batches: batches)
        return nil
      } catch let error as LockstepError {
        return error.description
      }
    }
    #expect(try complaint(batches: 5)?.contains("1 to 4 batches of 12 samples, not 5") == true)
    #expect(try complaint(batches: 0)?.contains("not 0") == true)
    #expect(try complaint(batches: 1, .ghost(4))?.contains("batch norm first takes ghost:4 statistics") == true)
    #expect(try complaint(batches: 1, .frozen)?.contains("no batch norm") == true)
  }
}
