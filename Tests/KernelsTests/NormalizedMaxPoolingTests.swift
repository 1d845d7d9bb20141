import Kernels
import Support
import Tensors
import Testing

/// Normalization, rectifier and max pooling in one pass: what the kernels of each do one after another, bit for bit.
@Suite struct NormalizedMaxPoolingTests {
  struct Window: Sendable {
    let kernel: Int
    let stride: Int
    let padding: Int
  }

  static let windows = [
    Window(kernel: 3, stride: 2, padding: 1), Window(kernel: 2, stride: 2, padding: 0),
    Window(kernel: 3, stride: 1, padding: 1), Window(kernel: 2, stride: 3, padding: 0),
    Window(kernel: 5, stride: 2, padding: 2),
  ]
  private let samples = 2

  private func geometry(_ window: Window, block: Int, height: Int, width: Int) -> PoolingGeometry {
    func layout(_ height: Int, _ width: Int) -> ActivationLayout {
      ActivationLayout(shape: SampleShape(channels: 20, height: height, width: width), block: block)
    }
    func outputs(_ extent: Int) -> Int { (extent + 2 * window.padding - window.kernel) / window.stride + 1 }
    return PoolingGeometry(
      input: layout(height, width), output: layout(outputs(height), outputs(width)), kernelHeight: window.kernel,
      kernelWidth: window.kernel, stride: window.stride, padding: window.padding)
  }

  private func random(_ layout: ActivationLayout, _ number: Int) -> BlockedArray {
    BlockedArray(LayerRun.random(samples * layout.shape.count, number: number), layout)
  }

  private func coefficients(_ layout: ActivationLayout, _ number: Int) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: layout.paddedChannels)
    buffer.start.update(from: LayerRun.random(20, number: number), count: 20)
    return buffer
  }

  /// x as 16-bit numbers too, which it is rounded to.
  private func halves(of x: BlockedArray) -> AlignedBuffer<UInt16> {
    let halves = AlignedBuffer<UInt16>(count: x.buffer.count)
    BFloat16.round(x.start, keeping: halves.start, count: halves.count)
    return halves
  }

  private func rounded(_ values: BlockedArray) -> [Float] {
    BFloat16.round(values.start, to: values.start, count: values.buffer.count)
    return values.plain
  }

  /// Wide images have rows longer than one Float accumulator takes. Some images are tiled by windows of 2 by 2.
  @Test(arguments: windows, [(8, 9, 7), (8, 8, 6), (Blocks.largest, 9, 300), (Blocks.largest, 8, 300)])
  func asOneAfterAnother(window: Window, size: (block: Int, height: Int, width: Int)) {
    for (rectifies, inHalves) in [(false, false), (true, false), (true, true)] {
      let geometry = geometry(window, block: size.block, height: size.height, width: size.width)
      let (input, output) = (geometry.input, geometry.output)
      let (x, dy) = (random(input, 0), random(output, 1))
      let (mean, scale, bias) = (coefficients(input, 2), coefficients(input, 3), coefficients(input, 4))
      let (xHalves, dyHalves) = (inHalves ? halves(of: x) : nil, inHalves ? halves(of: dy) : nil)
      func stored(_ floats: BlockedArray, _ halves: AlignedBuffer<UInt16>?) -> Stored {
        halves.map { Stored(nil, halves: $0.start) } ?? Stored(floats.start)
      }

      let (normalized, y) = (random(input, 5), random(output, 6))
      let (dNormalized, dz) = (random(input, 7), random(input, 8))
      let sums = AlignedBuffer<Double>(count: 2 * input.paddedChannels)
      Normalize.forward(
        Stored(x.start), mean: mean.start, scale: scale.start, bias: bias.start, residual: nil,
        activation: rectifies ? .relu : nil,
        y: Stored(normalized.start), input, samples: samples)
      MaxPoolingKernel.forward(normalized.start, y: y.start, geometry, samples: samples)
      MaxPoolingKernel.backward(
        dy.start, x: normalized.start, y: y.start, dx: dNormalized.start, geometry, samples: samples)
      if inHalves { _ = rounded(dNormalized) }
      ChannelSums.addGradientSums(
        of: Stored(dNormalized.start), through: rectifies ? (.relu, Stored(normalized.start)) : nil, x: Stored(x.start),
        mean: mean.start, dz: Stored(dz.start), input, samples: samples, to: sums.start)

      let (fusedY, fusedDz) = (random(output, 9), random(input, 10))
      // Results in both forms at once, where there are 16-bit numbers.
      let (yHalves, dzHalves) = (inHalves ? halves(of: fusedY) : nil, inHalves ? halves(of: fusedDz) : nil)
      let largest = AlignedBuffer<UInt8>(count: samples * output.sampleStride)
      let fusedSums = AlignedBuffer<Double>(count: 2 * input.paddedChannels)
      NormalizedMaxPooling.forward(
        stored(x, xHalves), mean: mean.start, scale: scale.start, bias: bias.start, rectify: rectifies,
        y: Stored(fusedY.start, halves: yHalves?.start), largest: largest.start, geometry, samples: samples)
      NormalizedMaxPooling.addGradientSums(
        of: stored(dy, dyHalves), largest: largest.start, x: stored(x, xHalves), mean: mean.start,
        dz: Stored(fusedDz.start, halves: dzHalves?.start), geometry, samples: samples, to: fusedSums.start)

      #expect(fusedY.plain == (inHalves ? rounded(y) : y.plain))
      #expect(fusedDz.plain == dz.plain)
      for (values, halves) in [(fusedY, yHalves), (fusedDz, dzHalves)] {
        guard let halves else { continue }
        let expanded = AlignedBuffer<Float>(count: halves.count)
        BFloat16.expand(halves.start, to: expanded.start, count: halves.count)
        #expect(Array(expanded.elements) == Array(values.buffer.elements))
      }
      let size = zip(sums.elements, fusedSums.elements).map { abs($0) + abs($1) }.max()!
      #expect(zip(sums.elements, fusedSums.elements).allSatisfy { abs($0 - $1) < 1e-5 * size })
    }
  }

  /// Without a record of the largest elements the pass is the same; a NaN comes out of every window that it is in.
  @Test func evaluationAndNaN() {
    let geometry = geometry(Self.windows[0], block: 8, height: 9, width: 7)
    let x = random(geometry.input, 0)
    let (mean, scale, bias) = (
      coefficients(geometry.input, 2), coefficients(geometry.input, 3), coefficients(geometry.input, 4)
    )
    let nan = 3 * 7 + 3
    var values = x.plain
    values[nan] = .nan
    let (spoiled, y, spoiledY) = (
      BlockedArray(values, geometry.input), random(geometry.output, 1), random(geometry.output, 1)
    )
    for (x, y) in [(x, y), (spoiled, spoiledY)] {
      NormalizedMaxPooling.forward(
        Stored(x.start), mean: mean.start, scale: scale.start, bias: bias.start, rectify: true, y: Stored(y.start),
        largest: nil, geometry, samples: samples)
    }
    let difference = y.plain.indices.filter { y.plain[$0] != spoiledY.plain[$0] }
    let width = geometry.output.shape.width
    #expect(difference == [1, 2].flatMap { row in [1, 2].map { row * width + $0 } })
    #expect(difference.allSatisfy { spoiledY.plain[$0].isNaN })
  }
}
