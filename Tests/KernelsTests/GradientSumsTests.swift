import Kernels
import Support
import Tensors
import Testing

/// Sums of dy and of dy (x - mean) per channel against plain loops in Double, with and without a rectifier.
@Suite struct GradientSumsTests {
  @Test(arguments: Blocks.all, [false, true]) func againstDouble(block: Int, isRectified: Bool) {
    for positions in [1, 2, 3, 5, 1025] {
      for channels in [1, 3, 8, 16, 20] {
        let shape = SampleShape(channels: channels, height: positions, width: 1)
        let complaint = complaint(shape, samples: positions == 1025 ? 2 : 7, block, isRectified)
        #expect(complaint == nil, "\(channels) channels, \(positions) positions")
      }
    }
  }

  private func complaint(_ shape: SampleShape, samples: Int, _ block: Int, _ isRectified: Bool) -> String? {
    let layout = ActivationLayout(shape: shape, block: block)
    let count = samples * shape.count
    let (dy, x) = (LayerRun.random(count, number: 0), LayerRun.random(count, number: 1).map { $0 + 10 })
    let y = LayerRun.random(count, number: 2).map { max($0, 0) }
    let mean = AlignedBuffer<Float>(count: layout.paddedChannels)
    for c in 0..<shape.channels { mean.start[c] = 10 + 0.1 * Float(c) }
    let (packedDy, packedX, packedY) = (BlockedArray(dy, layout), BlockedArray(x, layout), BlockedArray(y, layout))
    let dz = BlockedArray([Float](repeating: .nan, count: count), layout)
    let sums = AlignedBuffer<Double>(count: 2 * layout.paddedChannels)
    ChannelSums.addGradientSums(
      of: Stored(packedDy.start), y: isRectified ? Stored(packedY.start) : nil, x: Stored(packedX.start),
      mean: mean.start,
      dz: Stored(dz.start), layout, samples: samples, to: sums.start)

    let expected = zip(dy, y).map { isRectified && !($1 > 0) ? 0 : $0 }
    if dz.plain != expected { return "dz" }
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
