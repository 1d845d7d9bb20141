import Kernels
import Support
import Tensors
import Testing

/// Winograd's convolution, and oneDNN's direct one, against the definition in Double.
@Suite struct WinogradTests {
  /// Sizes that tiles of 2 and 4 cut unevenly, images as small as a tile, channels that fill neither blocks, strips nor
  /// chunks, tiles enough for several blocks of them.
  struct Case: Sendable, CustomTestStringConvertible {
    var samples: Int
    var inputs: Int
    var outputs: Int
    var height: Int
    var width: Int
    var padding = 1
    var hasBias = false
    var testDescription: String {
      "\(samples)x\(inputs)x\(height)x\(width) -> \(outputs), padding \(padding)" + (hasBias ? ", bias" : "")
    }
    var input: SampleShape { SampleShape(channels: inputs, height: height, width: width) }
    var output: SampleShape {
      SampleShape(channels: outputs, height: height + 2 * padding - 2, width: width + 2 * padding - 2)
    }
    var geometry: ConvolutionGeometry {
      let block = InstructionSet.channelBlock
      return ConvolutionGeometry(
        input: ActivationLayout(shape: input, block: block), output: ActivationLayout(shape: output, block: block),
        kernelHeight: 3, kernelWidth: 3, stride: 1, padding: padding, dilation: 1, groups: 1, hasBias: hasBias)
    }
  }

  static let cases = [
    Case(samples: 5, inputs: 3, outputs: 7, height: 7, width: 5),
    Case(samples: 1, inputs: 16, outputs: 16, height: 1, width: 1),
    Case(samples: 70, inputs: 70, outputs: 90, height: 1, width: 1, hasBias: true),
    Case(samples: 2, inputs: 24, outputs: 40, height: 2, width: 2, hasBias: true),
    Case(samples: 150, inputs: 70, outputs: 90, height: 2, width: 2),
    Case(samples: 2, inputs: 16, outputs: 16, height: 2, width: 2, padding: 2),
    Case(samples: 2, inputs: 16, outputs: 16, height: 2, width: 3),
    Case(samples: 2, inputs: 16, outputs: 16, height: 1, width: 2),
    Case(samples: 3, inputs: 16, outputs: 8, height: 9, width: 6, padding: 0),
    Case(samples: 3, inputs: 8, outputs: 24, height: 6, width: 7, padding: 2, hasBias: true),
    Case(samples: 40, inputs: 80, outputs: 72, height: 8, width: 9, hasBias: true),
  ]

  /// The usual choice is the one with the fewest multiplications, and images as small as a tile take fewer.
  @Test func choice() {
    func chosen(_ side: Int) -> ConvolutionAlgorithm {
      ConvolutionAlgorithms(for: Case(samples: 1, inputs: 16, outputs: 16, height: side, width: side).geometry).forward
    }
    // At 6x6 tiles of 2 and 4 take the same number.
    #expect([1, 2, 3, 4, 6, 8].map(chosen) == [1, 2, 4, 4, 4, 4].map { .winograd(tile: $0) })
  }

  @Test(arguments: cases.flatMap { c in c.geometry.algorithms.map { (c, $0) } })
  func passes(_ c: Case, _ algorithm: ConvolutionAlgorithm) {
    let (geometry, x, y) = (c.geometry, c.input, c.output)
    let kernel = ConvolutionKernel(
      geometry, ConvolutionAlgorithms(algorithm), samples: c.samples, needsInputGradient: true)
    let context = KernelContext()
    let values = LayerRun.random(c.samples * x.count, number: 0)
    let gradients = LayerRun.random(c.samples * y.count, number: 1)
    let weight = LayerRun.random(c.outputs * c.inputs * 9, number: 2)
    let bias = AlignedBuffer<Float>(count: geometry.output.paddedChannels)
    bias.start.update(from: LayerRun.random(c.outputs, number: 3), count: c.outputs)
    let expected = reference(c, x, y, values, gradients, weight, c.hasBias ? bias.start : nil)

    let packedWeight = AlignedBuffer<Float>(count: kernel.weightLayout.count)
    kernel.weightLayout.pack(weight, to: packedWeight.start, context)
    let forwardWeight = AlignedBuffer<Float>(count: kernel.forwardWeightCount)
    let backwardWeight = AlignedBuffer<Float>(count: kernel.backwardWeightCount)
    kernel.prepareForward(packedWeight.start, into: forwardWeight.start, context)
    kernel.prepareBackward(packedWeight.start, into: backwardWeight.start, context)
    let (packedX, packedDy) = (BlockedArray(values, geometry.input), BlockedArray(gradients, geometry.output))
    let packedY = BlockedArray([Float](repeating: .nan, count: c.samples * y.count), geometry.output)
    kernel.forward(
      packedX.start, weight: kernel.forwardWeightCount > 0 ? forwardWeight.start : packedWeight.start,
      bias: bias.start, y: packedY.start, samples: c.samples, context)
    #expect(relativeError(packedY.plain, expected.y) < 2e-6)

    let packedDx = BlockedArray([Float](repeating: .nan, count: c.samples * x.count), geometry.input)
    kernel.backwardData(
      packedDy.start, weight: kernel.backwardWeightCount > 0 ? backwardWeight.start : packedWeight.start,
      dx: packedDx.start, samples: c.samples, context)
    #expect(relativeError(packedDx.plain, expected.dx) < 2e-6)

    let dWeight = AlignedBuffer<Float>(count: kernel.weightLayout.count)
    let dBias = AlignedBuffer<Float>(count: geometry.output.paddedChannels)
    dWeight.start.update(repeating: .nan, count: dWeight.count)
    kernel.backwardWeights(
      packedX.start, packedDy.start, dWeight: dWeight.start, dBias: dBias.start, adds: false, samples: c.samples,
      context)
    var plainWeight = [Float](repeating: .nan, count: weight.count)
    kernel.weightLayout.unpack(dWeight.start, to: &plainWeight, context)
    #expect(relativeError(plainWeight, expected.dWeight) < 4e-6)
    if c.hasBias {
      let plainBias = [Float](UnsafeBufferPointer(start: dBias.start, count: c.outputs))
      #expect(relativeError(plainBias, expected.dBias) < 1e-6)
    }
  }

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
        x.start + first * layout.sampleStride, weight: weight.start, bias: nil, y: y.start, samples: count, context)
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
      kernel.forward(x.start, weight: weight.start, bias: nil, y: y.start, samples: samples, context)
      kernel.backwardData(
        x.start, weight: kernel.backwardWeightCount > 0 ? backwardWeight.start : weight.start, dx: dx.start,
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

  /// The definition, by loops.
  private func reference(
    _ c: Case, _ xShape: SampleShape, _ yShape: SampleShape, _ x: [Float], _ dy: [Float], _ weight: [Float],
    _ bias: UnsafePointer<Float>?
  ) -> (y: [Float], dx: [Float], dWeight: [Float], dBias: [Float]) {
    var y = [Double](repeating: 0, count: dy.count)
    var dx = [Double](repeating: 0, count: x.count)
    var dWeight = [Double](repeating: 0, count: weight.count)
    var dBias = [Double](repeating: 0, count: c.outputs)
    for n in 0..<c.samples {
      for k in 0..<c.outputs {
        for i in 0..<yShape.height {
          for j in 0..<yShape.width {
            let out = ((n * c.outputs + k) * yShape.height + i) * yShape.width + j
            var sum = bias.map { Double($0[k]) } ?? 0
            let gradient = Double(dy[out])
            dBias[k] += gradient
            for r in max(0, c.padding - i)..<min(3, c.height + c.padding - i) {
              for s in max(0, c.padding - j)..<min(3, c.width + c.padding - j) {
                for channel in 0..<c.inputs {
                  let row = (n * c.inputs + channel) * c.height + i + r - c.padding
                  let (input, tap) = (row * c.width + j + s - c.padding, (k * c.inputs + channel) * 9 + r * 3 + s)
                  sum += Double(x[input]) * Double(weight[tap])
                  dx[input] += gradient * Double(weight[tap])
                  dWeight[tap] += gradient * Double(x[input])
                }
              }
            }
            y[out] = sum
          }
        }
      }
    }
    return (y.map { Float($0) }, dx.map { Float($0) }, dWeight.map { Float($0) }, dBias.map { Float($0) })
  }
}
