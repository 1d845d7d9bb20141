import Kernels
import Support
import Tensors
import Testing

/// Sums of dy and of dy (x - mean) per channel against plain loops in Double, through a function or not.
@Suite struct GradientSumsTests {
  @Test(arguments: Blocks.all, [nil] + Activation.all) func againstDouble(block: Int, activation: Activation?) {
    for positions in [1, 2, 3, 5, 1025] {
      for channels in [1, 3, 8, 16, 20] {
        let shape = SampleShape(channels: channels, height: positions, width: 1)
        let complaint = complaint(shape, samples: positions == 1025 ? 2 : 7, block, activation)
        #expect(complaint == nil, "\(channels) channels, \(positions) positions")
      }
    }
  }

  /// Bands of blocks and blocks left over; more samples than a Float accumulator takes, and less.
  @Test(arguments: Blocks.all, [3, 600]) func ofVectors(block: Int, samples: Int) {
    for activation in [nil, Activation.relu, .tanh] {
      let complaint = complaint(SampleShape(channels: 170, height: 1, width: 1), samples: samples, block, activation)
      #expect(complaint == nil)
    }
  }

  private func complaint(_ shape: SampleShape, samples: Int, _ block: Int, _ activation: Activation?) -> String? {
    let layout = ActivationLayout(shape: shape, block: block)
    let count = samples * shape.count
    let (dy, x) = (LayerRun.random(count, number: 0), LayerRun.random(count, number: 1).map { $0 + 10 })
    let y = LayerRun.random(count, number: 2).map { Float(activation?.value(Double($0)) ?? Double($0)) }
    let mean = AlignedBuffer<Float>(count: layout.paddedChannels)
    for c in 0..<shape.channels { mean.start[c] = 10 + 0.1 * Float(c) }
    let (packedDy, packedX, packedY) = (BlockedArray(dy, layout), BlockedArray(x, layout), BlockedArray(y, layout))
    let dz = BlockedArray([Float](repeating: .nan, count: count), layout)
    let sums = AlignedBuffer<Double>(count: 2 * layout.paddedChannels)
    ChannelSums.addGradientSums(
      of: Stored(packedDy.start), through: activation.map { ($0, Stored(packedY.start)) }, x: Stored(packedX.start),
      mean: mean.start, dz: Stored(dz.start), layout, samples: samples, to: sums.start)

    let expected = zip(dy, y).map { Float(Double($0) * (activation?.derivative(result: Double($1)) ?? 1)) }
    let isRight =
      [nil, .relu].contains(activation) ? dz.plain == expected : relativeError(dz.plain, expected) <= 2e-7
    if !isRight { return "dz" }
    for c in 0..<shape.channels {
      var (sum, product, size) = (0.0, 0.0, 0.0)
      for i in (0..<count) where i / shape.positions % shape.channels == c {
        let d = Double(x[i]) - Double(mean.start[c])
        sum += Double(expected[i])
        product += Double(expected[i]) * d
        size += abs(Double(expected[i])) * max(1, abs(d))
      }
      if abs(sums.start[c] - sum) > 1e-6 * size { return "sum of channel \(c)" }
      if abs(sums.start[layout.paddedChannels + c] - product) > 1e-6 * size { return "product of channel \(c)" }
    }
    return nil
  }
}
