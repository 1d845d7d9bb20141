import Kernels
import Support
import Tensors
import Testing

/// Batch norm's elementwise passes against their formulas in Double.
@Suite struct NormalizeTests {
  /// Images, and vectors: narrow ones, some with bands of blocks and blocks left over, and wide ones.
  private static let layouts = Blocks.all.flatMap { block in
    [(20, 5, 3), (20, 1, 1), (170, 1, 1), (1050, 1, 1)].map { channels, height, width in
      ActivationLayout(shape: SampleShape(channels: channels, height: height, width: width), block: block)
    }
  }
  private let samples = 3

  private func coefficients(_ layout: ActivationLayout, _ number: Int) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: layout.paddedChannels)
    let channels = layout.shape.channels
    buffer.start.update(from: LayerRun.random(channels, number: number), count: channels)
    return buffer
  }

  private func count(_ layout: ActivationLayout) -> Int { samples * layout.shape.count }

  private func channel(_ element: Int, _ layout: ActivationLayout) -> Int {
    element / layout.positions % layout.shape.channels
  }

  @Test(arguments: layouts, [nil] + Activation.all)
  func forward(layout: ActivationLayout, activation: Activation?) {
    let count = count(layout)
    let (x, residual) = (LayerRun.random(count, number: 0), LayerRun.random(count, number: 1))
    let (mean, scale, bias) = (coefficients(layout, 2), coefficients(layout, 3), coefficients(layout, 4))
    let (packedX, packedResidual) = (BlockedArray(x, layout), BlockedArray(residual, layout))
    for hasResidual in [false, true] {
      let y = BlockedArray([Float](repeating: .nan, count: count), layout, padding: .nan)
      Normalize.forward(
        Stored(packedX.start), mean: mean.start, scale: scale.start, bias: bias.start,
        residual: hasResidual ? Stored(packedResidual.start) : nil, activation: activation, y: Stored(y.start),
        layout, samples: samples)
      let expected = (0..<count).map { i in
        let c = channel(i, layout)
        let z =
          (Double(x[i]) - Double(mean.start[c])) * Double(scale.start[c]) + Double(bias.start[c])
          + (hasResidual ? Double(residual[i]) : 0)
        return Float(activation?.value(z) ?? z)
      }
      #expect(relativeError(y.plain, expected) < 2e-7)
      // Where channels are padding: no function of 0 but 0.
      let isClear = y.buffer.elements.count { $0 == 0 } >= samples * (layout.sampleStride - layout.shape.count)
      #expect(isClear)
    }
  }

  /// dx = scale * (dz - meanGradient - (x - mean) * slope), also in place.
  @Test(arguments: layouts) func backward(layout: ActivationLayout) {
    let count = count(layout)
    let (x, dz) = (LayerRun.random(count, number: 0), LayerRun.random(count, number: 1))
    let (mean, scale) = (coefficients(layout, 2), coefficients(layout, 3))
    let (meanGradient, slope) = (coefficients(layout, 4), coefficients(layout, 5))
    let (packedX, dx) = (BlockedArray(x, layout), BlockedArray(dz, layout))
    Normalize.backward(
      Stored(dx.start), x: Stored(packedX.start), mean: mean.start, scale: scale.start,
      meanGradient: meanGradient.start, slope: slope.start, dx: Stored(dx.start), layout, samples: samples)
    let expected = (0..<count).map { i in
      let c = channel(i, layout)
      let centred = (Double(x[i]) - Double(mean.start[c])) * Double(slope.start[c])
      return Float(Double(scale.start[c]) * (Double(dz[i]) - Double(meanGradient.start[c]) - centred))
    }
    #expect(relativeError(dx.plain, expected) < 3e-7)
  }

  @Test(arguments: layouts) func backwardFrozen(layout: ActivationLayout) {
    let count = count(layout)
    let dz = LayerRun.random(count, number: 1)
    let scale = coefficients(layout, 3)
    let dx = BlockedArray(dz, layout)
    Normalize.backwardFrozen(dx.start, scale: scale.start, layout, samples: samples)
    let isRight = dx.plain == (0..<count).map { dz[$0] * scale.start[channel($0, layout)] }
    #expect(isRight)
  }

  /// A constant channel gives its bias to the last bit, whatever scale its rounded mean meets.
  @Test(arguments: layouts) func constantChannelGivesItsBias(layout: ActivationLayout) {
    let count = count(layout)
    let x = BlockedArray([Float](repeating: 12345.678, count: count), layout)
    let (scale, bias) = (AlignedBuffer<Float>(count: layout.paddedChannels), coefficients(layout, 4))
    scale.elements.update(repeating: 316.2)
    let mean = AlignedBuffer<Float>(count: layout.paddedChannels)
    mean.elements.update(repeating: 12345.678)
    let y = BlockedArray([Float](repeating: .nan, count: count), layout)
    Normalize.forward(
      Stored(x.start), mean: mean.start, scale: scale.start, bias: bias.start, residual: nil, activation: nil,
      y: Stored(y.start), layout, samples: samples)
    let isBias = y.plain == (0..<count).map { bias.start[channel($0, layout)] }
    #expect(isBias)
  }

  /// A diverged run must show: rectifiers keep NaN.
  @Test(arguments: layouts) func rectifiersKeepNaN(layout: ActivationLayout) {
    let count = count(layout)
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
        residual: residual.map { Stored($0.start) }, activation: .relu, y: Stored(y.start), layout, samples: samples)
      let plain = y.plain
      let isRight = plain.indices.allSatisfy { $0 == 17 ? plain[$0].isNaN : plain[$0] == max(x[$0], 0) }
      #expect(isRight)
    }
  }
}
