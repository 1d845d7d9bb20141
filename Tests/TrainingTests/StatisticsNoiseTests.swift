import Collectives
import Datasets
import Foundation
import Layers
import Support
import Tensors
import Testing
import Training

@Suite struct StatisticsNoiseTests {
  /// Values of [batch][sample][channel][position], and the sums that are made of them. Channel 2 is constant.
  private static func values(
    batches: Int, samples: Int, channels: Int, positions: Int, _ value: (inout KeyedRandom, _ channel: Int) -> [Double]
  ) -> (values: [[[[Double]]]], sums: [[SampleSums]]) {
    let width = channels + 3
    let values = (0..<batches).map { batch in
      (0..<samples).map { sample in
        (0..<channels).map { channel in
          var random = KeyedRandom(seed: 3, .data, batch, sample, channel)
          return value(&random, channel)
        }
      }
    }
    let sums = values.map { batch -> [SampleSums] in
      var table = [Double](repeating: .nan, count: samples * 2 * width)
      for (sample, row) in batch.enumerated() {
        for (channel, x) in row.enumerated() {
          table[sample * 2 * width + channel] = x.reduce(0, +)
          table[sample * 2 * width + width + channel] = x.reduce(0) { $0 + $1 * $1 }
        }
      }
      return [SampleSums(table, width: width)]
    }
    return (values, sums)
  }

  private func variance(_ values: [Double], _ divisor: Int) -> Double {
    let mean = values.reduce(0, +) / Double(values.count)
    return values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(divisor)
  }

  /// Against the definition, in two passes over the values themselves; sizes that do not divide the batch.
  @Test func againstTheDefinition() throws {
    let (batches, samples, channels, positions) = (3, 11, 3, 5)
    let (values, sums) = Self.values(batches: batches, samples: samples, channels: channels, positions: positions) {
      random, channel in
      (0..<positions).map { _ in channel == 2 ? 0.1 : Double(channel) * 7 + Double(random.normal()) }
    }
    let noise = try StatisticsNoise([("norm", channels, positions)], sums, globalBatchSize: samples)
    let layer = try #require(noise.layers.first)
    #expect(layer.points.map(\.samples) == [2, 4, 8, 11])
    #expect(layer.points.map(\.groups) == [15, 6, 3, 3])
    for point in layer.points {
      var (mean, squared) = (0.0, 0.0)
      for channel in 0..<2 {
        let groups = values.flatMap { batch in
          (0..<samples / point.samples).map { group in
            batch[group * point.samples..<(group + 1) * point.samples].flatMap { $0[channel] }
          }
        }
        let all = values.flatMap { batch in batch.flatMap { $0[channel] } }
        let total = variance(all, all.count)
        let means = groups.map { $0.reduce(0, +) / Double($0.count) }
        mean += variance(means, groups.count - 1) / total / 2
        squared += variance(groups.map { variance($0, $0.count) }, groups.count - 1) / (total * total) / 2
      }
      #expect(abs(point.mean - mean) < 1e-9 * mean, "\(point.samples) samples")
      #expect(abs(point.variance - squared) < 1e-9 * squared, "\(point.samples) samples")
    }
  }

  /// Of independent samples the noise falls as 1/n; values that are the same all over a sample count as one.
  @Test func independentSamples() throws {
    let positions = 16
    for isOneValue in [false, true] {
      let (_, sums) = Self.values(batches: 40, samples: 64, channels: 4, positions: positions) { random, _ in
        let value = Double(random.normal())
        return (0..<positions).map { _ in isOneValue ? value : Double(random.normal()) }
      }
      let layer = try StatisticsNoise([("norm", 4, positions)], sums, globalBatchSize: 64).layers[0]
      #expect(abs(layer.slope(\.mean) + 1) < 0.05, "\(layer.slope(\.mean))")
      let expected = isOneValue ? 1.0 : 16
      #expect(abs(layer.independentValues / expected - 1) < 0.1, "\(layer.independentValues)")
    }
  }

  /// A batch norm on the input sees the samples themselves, whoever computes them.
  @Test(arguments: [(1, 1), (2, 1), (1, 3), (3, 2)]) func theEnginesSums(ranks: Int, threads: Int) throws {
    let shape = SampleShape(channels: 3, height: 3, width: 5)
    let count = 26
    var random = KeyedRandom(seed: 5, .data)
    let pixels = (0..<count * shape.count).map { _ in random.normal() + 3 }
    let samples = LabeledSamples(floats: pixels, labels: (0..<count).map { Int32($0 % 4) }, shape: shape)
    let data = Dataset(name: "test", classCount: 4, train: samples, test: nil, augmentation: .none)
    let noises = try asRanks(ranks) { communicator in
      var options = TrainingOptions()
      (options.globalBatchSize, options.shards, options.threads, options.shuffles) = (13, 7, threads, false)
      let model = Sequential {
        BatchNorm().named("norm")
        GlobalAveragePooling()
        Linear(4)
      }
      return try Trainer(model, data: data, options: options, communicator: communicator).statisticsNoise(batches: 2)
    }
    let sums = (0..<2).map { batch in
      let table = (0..<13).flatMap { sample in
        [1, 2].flatMap { power in
          (0..<3).map { channel in
            let start = ((batch * 13 + sample) * 3 + channel) * shape.positions
            return pixels[start..<start + shape.positions].reduce(0.0) { $0 + pow(Double($1), Double(power)) }
          }
        }
      }
      return [SampleSums(table, width: 3)]
    }
    let expected = try StatisticsNoise([("norm", 3, shape.positions)], sums, globalBatchSize: 13).layers[0]
    for noise in noises {
      #expect(noise.layers.map(\.name) == ["norm"] && noise.layers[0].positions == 15)
      for (found, wanted) in zip(noise.layers[0].points, expected.points) {
        #expect(found.samples == wanted.samples && found.groups == wanted.groups)
        #expect(abs(found.mean - wanted.mean) < 1e-5 * wanted.mean)
        #expect(abs(found.variance - wanted.variance) < 1e-5 * wanted.variance)
      }
    }
  }
}
