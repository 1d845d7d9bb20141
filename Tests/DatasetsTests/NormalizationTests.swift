import Datasets
import Tensors
import Testing

@Suite struct NormalizationTests {
  let shape = SampleShape(channels: 3, height: 7, width: 5)

  /// Channels of different means and spreads, the last one constant.
  private var bytes: [UInt8] {
    noise(11 * shape.count).enumerated().map { i, value in
      switch i / shape.positions % 3 {
      case 0: value
      case 1: 200 + value % 8
      default: 137
      }
    }
  }

  @Test func theTrainingSplitGetsMeanZeroAndDeviationOne() {
    let normalization = Normalization(of: bytes, shape: shape)
    let samples = LabeledSamples(
      bytes: bytes, labels: .init(repeating: 0, count: 11), shape: shape, normalization: normalization)
    for channel in 0..<3 {
      let values = (0..<11).flatMap { sample in
        samples.floats(sample)[channel * shape.positions..<(channel + 1) * shape.positions].map(Double.init)
      }
      let mean = values.reduce(0, +) / Double(values.count)
      let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
      #expect(abs(mean) < 1e-5)
      #expect(abs(variance - (channel == 2 ? 0 : 1)) < 1e-5)
    }
  }

  @Test func aConstantChannelHasDeviationOne() {
    let normalization = Normalization(of: bytes, shape: shape)
    #expect(normalization.deviation[2] == 1)
    #expect(normalization.mean[2] == Float(137.0 / 255))
  }

  @Test func knownStatistics() {
    // 0 and 255 in equal parts: mean 1/2, deviation 1/2.
    let normalization = Normalization(of: [0, 255, 255, 0], shape: SampleShape(channels: 1, height: 1, width: 2))
    #expect(normalization == Normalization(mean: [0.5], deviation: [0.5]))
    let samples = LabeledSamples(bytes: [0, 255], labels: [0, 0], shape: .features(1), normalization: normalization)
    #expect(samples.floats(0) == [-1])
    #expect(samples.floats(1) == [1])
  }

  @Test func floatsAreUsedAsTheyStand() {
    let samples = LabeledSamples(floats: [1, -0.5, 3e9, 4], labels: [0, 1], shape: .features(2))
    #expect(samples.floats(0) == [1, -0.5])
    #expect(samples.floats(1) == [3e9, 4])
  }
}
