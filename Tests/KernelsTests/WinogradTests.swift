import Kernels
import Support
import Tensors
import Testing

/// Winograd's convolution, and oneDNN's direct one, against the definition in Double.
@Suite struct WinogradTests {
  /// Sizes that tiles of 2 and 4 cut unevenly, with short tiles in one dimension, in both, and alone, images as small as a
  /// tile, channels that fill neither blocks, strips nor chunks, tiles enough for several blocks of them; strides of 2 over
  /// even and odd sizes.
  static let cases = [
    ConvolutionCase(samples: 5, inputs: 3, outputs: 7, height: 7, width: 5),
    ConvolutionCase(samples: 1, inputs: 16, outputs: 16, height: 1, width: 1),
    ConvolutionCase(samples: 70, inputs: 70, outputs: 90, height: 1, width: 1, hasBias: true),
    ConvolutionCase(samples: 2, inputs: 24, outputs: 40, height: 2, width: 2, hasBias: true),
    ConvolutionCase(samples: 150, inputs: 70, outputs: 90, height: 2, width: 2),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 16, height: 2, width: 2, padding: 2),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 16, height: 2, width: 3),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 16, height: 1, width: 2),
    ConvolutionCase(samples: 3, inputs: 16, outputs: 8, height: 9, width: 6, padding: 0),
    ConvolutionCase(samples: 3, inputs: 8, outputs: 24, height: 6, width: 7, padding: 2, hasBias: true),
    ConvolutionCase(samples: 40, inputs: 80, outputs: 72, height: 8, width: 9, hasBias: true),
    ConvolutionCase(samples: 30, inputs: 40, outputs: 24, height: 14, width: 13),
    ConvolutionCase(samples: 3, inputs: 24, outputs: 40, height: 8, width: 16, stride: 2, hasBias: true),
    ConvolutionCase(samples: 20, inputs: 70, outputs: 90, height: 14, width: 25, stride: 2, hasBias: true),
    ConvolutionCase(samples: 40, inputs: 80, outputs: 40, height: 15, width: 8, stride: 2),
    ConvolutionCase(samples: 3, inputs: 8, outputs: 16, height: 5, width: 6, stride: 2),
    ConvolutionCase(samples: 2, inputs: 3, outputs: 7, height: 1, width: 2, stride: 2),
    ConvolutionCase(
      samples: 3, inputs: 3, outputs: 24, height: 29, width: 40, kernel: 7, stride: 2, padding: 3, isPlain: true),
    ConvolutionCase(
      samples: 5, inputs: 1, outputs: 70, height: 8, width: 9, kernel: 7, stride: 2, padding: 3, hasBias: true,
      isPlain: true),
    ConvolutionCase(
      samples: 1, inputs: 2, outputs: 7, height: 2, width: 1, kernel: 7, stride: 2, padding: 3, isPlain: true),
  ]

  /// The usual choice is the one with the fewest multiplications, and images as small as a tile take fewer.
  @Test func choice() {
    func chosen(_ c: ConvolutionCase) -> ConvolutionAlgorithm {
      ConvolutionAlgorithms(for: c.geometry, inBFloat16: false).forward
    }
    func square(_ side: Int) -> ConvolutionCase {
      ConvolutionCase(samples: 1, inputs: 16, outputs: 16, height: side, width: side)
    }
    #expect([1, 2, 3, 4, 5, 8].map { chosen(square($0)) } == [1, 2, 4, 4, 4, 4].map { .winograd(tile: $0) })
    func strided(_ inputs: Int) -> ConvolutionCase {
      ConvolutionCase(samples: 1, inputs: inputs, outputs: 64, height: 8, width: 8, stride: 2)
    }
    #expect([16, 32].map { chosen(strided($0)) } == [.direct, .winograd(tile: 4)])
    var stem = ConvolutionCase(
      samples: 1, inputs: 3, outputs: 64, height: 32, width: 32, kernel: 7, stride: 2, padding: 3, isPlain: true)
    #expect(chosen(stem) == .winograd(tile: 3))
    stem.isPlain = false
    #expect(chosen(stem) == .direct)
  }

  @Test(arguments: cases.flatMap { c in c.geometry.algorithms(inBFloat16: false).map { (c, $0) } })
  func passes(_ c: ConvolutionCase, _ algorithm: ConvolutionAlgorithm) { c.check(algorithm, tolerance: 2e-6) }

  /// A convolution of images that leaves the shape as it is, with random inputs and a random weight.
  private func square(
    channels: Int, height: Int = 10, width: Int = 7, samples: Int, _ tile: Int, _ context: KernelContext
  ) -> (
    layout: ActivationLayout, kernel: ConvolutionKernel, x: BlockedArray, weight: AlignedBuffer<Float>
  ) {
    let layout = ActivationLayout(
      shape: SampleShape(channels: channels, height: height, width: width), block: InstructionSet.channelBlock)
    let geometry = ConvolutionGeometry(
      input: layout, output: layout, kernelHeight: 3, kernelWidth: 3, stride: 1, padding: 1, dilation: 1, groups: 1,
      hasBias: false)
    let kernel = ConvolutionKernel(
      geometry, ConvolutionAlgorithms(.winograd(tile: tile)), samples: samples, needsInputGradient: true)
    let x = BlockedArray(LayerRun.random(samples * layout.shape.count, number: 0), layout)
    let weight = AlignedBuffer<Float>(count: kernel.weightLayout.count)
    kernel.weightLayout.pack(LayerRun.random(channels * channels * 9, number: 1), to: weight.start, context)
    return (layout, kernel, x, weight)
  }

  /// A sample has the same bits in any company: slices may be cut anywhere.
  @Test(arguments: [(2, 10, 7), (4, 10, 7), (2, 2, 2), (1, 1, 1)])
  func samplesDoNotDependOnTheirNumber(tile: Int, height: Int, width: Int) {
    let (samples, context) = (150 / height, KernelContext())
    let (layout, kernel, x, weight) = square(
      channels: 80, height: height, width: width, samples: samples, tile, context)
    func forward(_ first: Int, _ count: Int) -> [UInt32] {
      let y = AlignedBuffer<Float>(count: count * layout.sampleStride)
      kernel.forward(
        Stored(x.start + first * layout.sampleStride), weight: weight.start, bias: nil, y: Stored(y.start),
        samples: count,
        context)
      return y.elements.map(\.bitPattern)
    }
    let whole = forward(0, samples)
    for cut in 1..<samples { #expect(forward(0, cut) + forward(cut, samples - cut) == whole, "cut after \(cut)") }
  }

  /// What is named to be read ahead changes no bits; it is read in order, by each product some, and no more than there is.
  @Test(arguments: [2, 4]) func readsAhead(tile: Int) throws {
    let (samples, context) = (9, KernelContext())
    let (layout, kernel, x, weight) = square(channels: 16, samples: samples, tile, context)
    let backwardWeight = AlignedBuffer<Float>(count: kernel.backwardWeightCount)
    kernel.prepareBackward(weight.start, into: backwardWeight.start, context)
    func passes() -> [UInt32] {
      let (y, dx) = (
        AlignedBuffer<Float>(count: samples * layout.sampleStride),
        AlignedBuffer<Float>(count: samples * layout.sampleStride)
      )
      kernel.forward(Stored(x.start), weight: weight.start, bias: nil, y: Stored(y.start), samples: samples, context)
      kernel.backwardData(
        Stored(x.start), weight: kernel.backwardWeightCount > 0 ? backwardWeight.start : weight.start,
        dx: Stored(dx.start),
        samples: samples, context)
      return [y, dx].flatMap(\.elements).map(\.bitPattern)
    }
    let expected = passes()
    let memory = AlignedBuffer<UInt8>(count: 1 << 20)
    context.ahead.add(memory.start, bytes: 100)
    context.ahead.add(memory.start + 100, bytes: 0)
    context.ahead.add(memory.start + 100, bytes: memory.count - 100)
    #expect(context.ahead.remaining.map(\.count) == [100, memory.count - 100])
    for _ in 0..<100 {
      guard let rest = context.ahead.remaining.last?.count else { break }
      #expect(passes() == expected)
      try #require(context.ahead.remaining.count <= 1 && context.ahead.remaining.last?.count ?? 0 < rest)
    }
    #expect(context.ahead.remaining.isEmpty)
    context.ahead.add(memory.start, bytes: 100)
    context.ahead.forget()
    #expect(context.ahead.remaining.isEmpty)
  }
}
