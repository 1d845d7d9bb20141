import Layers
import Support
import Tensors
import Testing

/// Batch norm's hard cases: large means, constant channels, next to no samples.
@Suite struct BatchNormTests {
  private func norm(
    _ x: [Float], _ input: SampleShape, samples: Int, bias: [Float]? = nil, statistics: Statistics = .sync
  ) throws -> LayerRun {
    var run = try LayerRun(input, samples: samples, BatchNorm(momentum: 1, statistics: statistics))
    run.batches = [x]
    if let bias { run.values["bias"] = bias }
    return run
  }

  /// PyTorch's own tensor, its moments exact: the running statistics are the batch's, for the momentum is 1.
  @Test(arguments: [1, 5, 13]) func momentsOfTheOracle(shards: Int) throws {
    let oracle = try Oracle("moments")
    let shape = SampleShape(channels: oracle.shape[1], height: oracle.shape[2], width: oracle.shape[3])
    let n = Double(oracle.shape[0] * shape.positions)
    let run = try norm(oracle.floats("x"), shape, samples: oracle.shape[0])
    let outcome = try run.outcome(.init(ranks: 2, threads: 1, shards: shards))
    let (mean, variance) = (oracle.float64s("mean"), oracle.float64s("variance"))
    for c in 0..<shape.channels {
      #expect(
        abs(Double(outcome.model["running_mean"]![c]) - mean[c]) <= 1e-7 * max(abs(mean[c]), variance[c].squareRoot()))
      let unbiased = Double(outcome.model["running_var"]![c])
      let expected = variance[c] * n / (n - 1)
      #expect(expected == 0 ? unbiased == 0 : abs(unbiased - expected) < 1e-4 * expected, "channel \(c)")
    }
    let y = outcome.y
    let isFinite = y.allSatisfy(\.isFinite)
    #expect(isFinite)
  }

  /// Variance 0, y the bias to the last bit, dx finite: for any number of samples and pixels.
  @Test func constantChannels() throws {
    let constants: [Float] = [0.1, -12345.678, 3e7, 0, 1e-20]
    for (height, samples, shards) in [(1, 2, 2), (7, 5, 3), (7, 17, 8), (1023, 3, 2)] {
      let shape = SampleShape(channels: constants.count, height: height, width: 1)
      let x = (0..<samples * shape.count).map { constants[$0 / height % constants.count] }
      let bias: [Float] = [0.3, -7, 1e-5, 0, 2.5]
      let outcome = try norm(x, shape, samples: samples, bias: bias).outcome(.init(ranks: 2, shards: shards))
      let isBias = outcome.y.enumerated().allSatisfy { $1 == bias[$0 / height % constants.count] }
      let isFinite = outcome.dx.allSatisfy(\.isFinite)
      #expect(isBias && isFinite, "\(samples) samples of \(height) pixels")
      #expect(outcome.model["running_var"]! == [0, 0, 0, 0, 0])
      #expect(relativeError(outcome.model["running_mean"]!, constants) < 1e-7)
    }
  }

  /// y and dx at a mean 1e4 times the deviation, against Double.
  @Test func largeMeanAgainstDouble() throws {
    let (samples, shape) = (5, SampleShape(channels: 3, height: 7, width: 5))
    let x = LayerRun.random(samples * shape.count, number: 3).map { 1e4 + $0 }
    let run = try norm(x, shape, samples: samples)
    let outcome = try run.outcome(.init(ranks: 3, shards: 4))
    var (y, dx) = (outcome.y.map { _ in Float() }, outcome.dx.map { _ in Float() })
    for c in 0..<shape.channels {
      let places = y.indices.filter { $0 / shape.positions % shape.channels == c }
      let n = Double(places.count)
      let mean = places.reduce(0) { $0 + Double(x[$1]) } / n
      let variance = places.reduce(0) { $0 + (Double(x[$1]) - mean) * (Double(x[$1]) - mean) } / n
      let rstd = 1 / (variance + 1e-5).squareRoot()
      let xhat = places.map { (Double(x[$0]) - mean) * rstd }
      let meanGradient = places.reduce(0) { $0 + Double(run.w[$1]) } / n
      let product = zip(places, xhat).reduce(0) { $0 + Double(run.w[$1.0]) * $1.1 } / n
      for (place, xhat) in zip(places, xhat) {
        y[place] = Float(xhat)
        dx[place] = Float(rstd * (Double(run.w[place]) - meanGradient - xhat * product))
      }
    }
    // The mean is rounded to Float: at 1e4 that is up to 5e-4 of a deviation.
    #expect(relativeError(outcome.y, y) < 6e-4)
    #expect(relativeError(outcome.dx, dx) < 6e-4)
  }

  /// One value per channel has no variance; what is wrong and where is said.
  @Test func singleValuesAreRefused() throws {
    func complaint(_ statistics: Statistics, samples: Int, ranks: Int = 1, shards: Int = 1) throws -> String? {
      let run = try LayerRun(
        .features(3), samples: samples, Sequential { BatchNorm(statistics: statistics).named("norm") })
      do {
        _ = try run.outcome(.init(ranks: ranks, shards: shards))
        return nil
      } catch let error as LockstepError {
        return error.description
      }
    }
    let single = try #require(try complaint(.sync, samples: 1))
    #expect(single.contains("batch norm norm") && single.contains("batch of 1") && single.contains("batch size"))
    #expect(try complaint(.sync, samples: 2, ranks: 2, shards: 2) == nil)
    let local = try #require(try complaint(.local, samples: 3, ranks: 2, shards: 2))
    #expect(local.contains("local") && local.contains("sample 2"))
    #expect(try complaint(.local, samples: 4, ranks: 2, shards: 2) == nil)
    let ghost = try #require(try complaint(.ghost(2), samples: 5))
    #expect(ghost.contains("ghost:2") && ghost.contains("sample 4"))
    #expect(try complaint(.ghost(2), samples: 6) == nil)
    #expect(try complaint(.frozen, samples: 1) == nil)
  }

  /// Frozen statistics stay, and training computes what evaluation computes.
  @Test func frozenStatisticsStay() throws {
    let run = try LayerCases.run("batch norm, frozen", samples: 5)
    let outcome = try run.outcome(.init(ranks: 2, shards: 3))
    for name in run.values.keys.filter({ $0.contains("running") }) {
      let isSame = outcome.model[name] == run.values[name]
      #expect(isSame, "\(name)")
    }
    #expect(relativeError(outcome.y, outcome.evaluation) == 0)
  }

  /// With groups of samples, the running statistics are the mean of the groups'.
  @Test func ghostsRunningStatistics() throws {
    let x = LayerRun.random(12 * 3, number: 3)
    let whole = try norm(x, .features(3), samples: 12, statistics: .ghost(4)).outcome(.init(ranks: 2, shards: 5))
    let parts = try (0..<3).map { part in
      try norm(Array(x[part * 12..<(part + 1) * 12]), .features(3), samples: 4).outcome()
    }
    for name in ["running_mean", "running_var"] {
      let mean = (0..<3).map { c in parts.reduce(0) { $0 + $1.model[name]![c] } / 3 }
      #expect(relativeError(whole.model[name]!, mean) < 3e-7)
    }
    #expect(relativeError(whole.y, parts.flatMap(\.y)) < 3e-7)
  }
}
