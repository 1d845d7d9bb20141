import Layers
import Support
import Tensors
import Testing

/// The noise's distribution: that of the paper, another one in every channel.
@Suite struct NoiseTests {
  private let shape = SampleShape(channels: 5, height: 23, width: 17)

  private func outcome(_ x: Float, seed: UInt64 = 5) throws -> LayerRun.Outcome {
    var run = try LayerRun(shape, samples: 7, ActivationNoise())
    run.batches = [[Float](repeating: x, count: 7 * shape.count)]
    run.seed = seed
    return try run.outcome(.init(ranks: 2, shards: 3))
  }

  /// Mean and deviation of each channel.
  private func moments(_ y: [Float]) -> [(mean: Double, deviation: Double)] {
    (0..<shape.channels).map { channel in
      let values = y.indices.filter { $0 / shape.positions % shape.channels == channel }.map { Double(y[$0]) }
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
      return (mean, variance.squareRoot())
    }
  }

  /// Of x = 0 the means alone remain: uniform, 0.1 to either side of the channel's.
  @Test func means() throws {
    let outcome = try outcome(0)
    let channels = moments(outcome.y)
    #expect(channels.allSatisfy { abs($0.mean) <= 0.51 && abs($0.deviation - 0.2 / 12.0.squareRoot()) < 0.002 })
    #expect(Set(channels.map(\.mean)).count == shape.channels)
    let isEvaluated = outcome.evaluation.allSatisfy { $0 == 0 }
    #expect(isEvaluated)
  }

  /// Of a large x the factors remain: normal, deviation 0.1, about the channel's.
  @Test func factors() throws {
    let channels = moments(try outcome(1e4).y)
    #expect(channels.allSatisfy { (0.99e4...1.26e4).contains($0.mean) && abs($0.deviation - 1e3) < 50 })
    #expect(Set(channels.map(\.mean)).count == shape.channels)
  }

  @Test func seedsDiffer() throws {
    let isSame = try outcome(1, seed: 1).y == outcome(1, seed: 2).y
    #expect(!isSame)
  }
}
