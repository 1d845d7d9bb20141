import Kernels
import Support
import Tensors
import Testing

/// Batch norm's elementwise passes against their formulas in Double.
@Suite struct NormalizeTests {
  private let shape = SampleShape(channels: 20, height: 5, width: 3)
  private let samples = 3
  private var count: Int { samples * shape.count }

  private func coefficients(_ layout: ActivationLayout, _ number: Int) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: layout.paddedChannels)
    buffer.start.update(from: LayerRun.random(shape.channels, number: number), count: shape.channels)
    return buffer
  }

  private func channel(_ element: Int) -> Int { element / shape.positions % shape.channels }

  @Test(arguments: Blocks.all, [(false, false), (false, true), (true, false), (true, true)])
  func forward(block: Int, tasks: (hasResidual: Bool, rectifies: Bool)) {
    let layout = ActivationLayout(shape: shape, block: block)
    let (x, residual) = (LayerRun.random(count, number: 0), LayerRun.random(count, number: 1))
    let (mean, scale, bias) = (coefficients(layout, 2), coefficients(layout, 3), coefficients(layout, 4))
    let (packedX, packedResidual) = (BlockedArray(x, layout), BlockedArray(residual, layout))
    let y = BlockedArray([Float](repeating: .nan, count: count), layout)
    Normalize.forward(
      Stored(packedX.start), mean: mean.start, scale: scale.start, bias: bias.start,
      residual: tasks.hasResidual ? Stored(packedResidual.start) : nil, rectify: tasks.rectifies, y: Stored(y.start),
      layout, samples: samples)
    let expected = (0..<count).map { i in
      let c = channel(i)
      let z =
        (Double(x[i]) - Double(mean.start[c])) * Double(scale.start[c]) + Double(bias.start[c])
        + (tasks.hasResidual ? Double(residual[i]) : 0)
      return Float(tasks.rectifies ? max(z, 0) : z)
    }
    #expect(relativeError(y.plain, expected) < 2e-7)
  }

  /// dx = scale * (dz - meanGradient - (x - mean) * slope), also in place.
  @Test(arguments: Blocks.all) func backward(block: Int) {
    let layout = ActivationLayout(shape: shape, block: block)
    let (x, dz) = (LayerRun.random(count, number: 0), LayerRun.random(count, number: 1))
    let (mean, scale) = (coefficients(layout, 2), coefficients(layout, 3))
    let (meanGradient, slope) = (coefficients(layout, 4), coefficients(layout, 5))
    let (packedX, dx) = (BlockedArray(x, layout), BlockedArray(dz, layout))
    Normalize.backward(
      Stored(dx.start), x: Stored(packedX.start), mean: mean.start, scale: scale.start,
      meanGradient: meanGradient.start, slope: slope.start, dx: Stored(dx.start), layout, samples: samples)
    let expected = (0..<count).map { i in
      let c = channel(i)
      let centred = (Double(x[i]) - Double(mean.start[c])) * Double(slope.start[c])
      return Float(Double(scale.start[c]) * (Double(dz[i]) - Double(meanGradient.start[c]) - centred))
    }
    #expect(relativeError(dx.plain, expected) < 3e-7)
  }

  @Test(arguments: Blocks.all) func backwardFrozen(block: Int) {
    let layout = ActivationLayout(shape: shape, block: block)
    let dz = LayerRun.random(count, number: 1)
    let scale = coefficients(layout, 3)
    let dx = BlockedArray(dz, layout)
    Normalize.backwardFrozen(dx.start, scale: scale.start, layout, samples: samples)
    let isRight = dx.plain == (0..<count).map { dz[$0] * scale.start[channel($0)] }
    #expect(isRight)
  }

  /// A constant channel gives its bias to the last bit, whatever scale its rounded mean meets.
  @Test(arguments: Blocks.all) func constantChannelGivesItsBias(block: Int) {
    let layout = ActivationLayout(shape: shape, block: block)
    let x = BlockedArray([Float](repeating: 12345.678, count: count), layout)
    let (scale, bias) = (AlignedBuffer<Float>(count: layout.paddedChannels), coefficients(layout, 4))
    scale.elements.update(repeating: 316.2)
    let mean = AlignedBuffer<Float>(count: layout.paddedChannels)
    mean.elements.update(repeating: 12345.678)
    let y = BlockedArray([Float](repeating: .nan, count: count), layout)
    Normalize.forward(
      Stored(x.start), mean: mean.start, scale: scale.start, bias: bias.start, residual: nil, rectify: false,
      y: Stored(y.start), layout, samples: samples)
    let isBias = y.plain == (0..<count).map { bias.start[channel($0)] }
    #expect(isBias)
  }

  /// A diverged run must show: rectifiers keep NaN.
  @Test(arguments: Blocks.all) func rectifiersKeepNaN(block: Int) {
    let layout = ActivationLayout(shape: shape, block: block)
    var x = LayerRun.random(count, number: 0)
    x[17] = .nan
    let packed = BlockedArray(x, layout)
    let (zero, one) = (
      AlignedBuffer<Float>(count: layout.paddedChannels), AlignedBuffer<Float>(count: layout.paddedChannels)
    )
    one.elements.update(repeating: 1)
    for residual in [nil, BlockedArray([Float](repeating: 0, count: count), layout)] {
      let y = BlockedArray([Float](repeating: 0, count: count), layout)
      Normalize.forward(
        Stored(packed.start), mean: zero.start, scale: one.start, bias: zero.start,
        residual: residual.map { Stored($0.start) }, rectify: true, y: Stored(y.start), layout, samples: samples)
      let plain = y.plain
      let isRight = plain.indices.allSatisfy { $0 == 17 ? plain[$0].isNaN : plain[$0] == max(x[$0], 0) }
      #expect(isRight)
    }
  }
}
