import Kernels
import Support
import Tensors
import Testing

/// Convolutions by AMX against the definition in Double, and direct ones with kernels and strides as odd.
@Suite struct AMXTests {
  /// Channels that fill one chunk, several, or no whole one; rows of pixels that fill a tile, several, or a part; images
  /// so small that a tile holds samples, so large that a gradient takes strips, so many that it sums some at a time; taps that
  /// some phases of a stride lack.
  static let cases = [
    ConvolutionCase(samples: 20, inputs: 16, outputs: 16, height: 32, width: 32, hasBias: true),
    ConvolutionCase(samples: 5, inputs: 20, outputs: 40, height: 7, width: 9, hasBias: true),
    ConvolutionCase(samples: 2, inputs: 64, outputs: 32, height: 5, width: 37, hasBias: true),
    ConvolutionCase(samples: 19, inputs: 64, outputs: 70, height: 2, width: 2),
    ConvolutionCase(samples: 3, inputs: 32, outputs: 16, height: 1, width: 1, hasBias: true),
    ConvolutionCase(samples: 18, inputs: 96, outputs: 64, height: 14, width: 14),
    ConvolutionCase(samples: 2, inputs: 48, outputs: 16, height: 9, width: 13, stride: 2),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 32, height: 60, width: 56, stride: 2, hasBias: true),
    ConvolutionCase(samples: 4, inputs: 32, outputs: 64, height: 9, width: 8, kernel: 1, stride: 2, padding: 0),
    ConvolutionCase(samples: 3, inputs: 16, outputs: 16, height: 33, width: 35, kernel: 1, padding: 0),
    ConvolutionCase(samples: 7, inputs: 16, outputs: 16, height: 5, width: 4, kernel: 5, stride: 3, padding: 2),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 32, height: 30, width: 40, kernel: 7, stride: 2, padding: 3),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 48, height: 11, width: 17, padding: 0),
    ConvolutionCase(samples: 2, inputs: 16, outputs: 16, height: 4, width: 3, padding: 3),
  ]

  static let needsAMX = ConditionTrait.enabled(if: InstructionSet.hasAMX, "the processor has no AMX")

  @Test(needsAMX, arguments: cases) func passes(_ c: ConvolutionCase) {
    c.check(.amx, inBFloat16: true, tolerance: 1e-6)
  }

  /// 16-bit numbers give the same bits as Floats, and results as such are those as Floats, rounded.
  @Test(needsAMX, arguments: cases) func halves(_ c: ConvolutionCase) {
    let kernel = ConvolutionKernel(
      c.geometry, ConvolutionAlgorithms(.amx), samples: c.samples, needsInputGradient: true)
    let context = KernelContext()
    let (weight, bias) = (numbers(kernel.weightLayout.count, 2), numbers(c.geometry.output.paddedChannels, 3))
    let (forward, backward) = (
      AlignedBuffer<Float>(count: kernel.forwardWeightCount), AlignedBuffer<Float>(count: kernel.backwardWeightCount)
    )
    kernel.prepareForward(weight.floats.start, into: forward.start, context)
    kernel.prepareBackward(weight.floats.start, into: backward.start, context)
    let (xCount, yCount) = (c.samples * c.geometry.input.sampleStride, c.samples * c.geometry.output.sampleStride)
    let (x, dy) = (numbers(xCount, 0), numbers(yCount, 1))
    func passes(_ form: (Numbers) -> Stored) -> (y: Numbers, dx: Numbers, gradients: [[Float]]) {
      let (y, dx) = (numbers(yCount, 4), numbers(xCount, 5))
      kernel.forward(
        form(x), weight: forward.start, bias: bias.floats.start, y: form(y), samples: c.samples, context)
      kernel.backwardData(form(dy), weight: backward.start, dx: form(dx), samples: c.samples, context)
      let (dWeight, dBias) = (AlignedBuffer<Float>(count: weight.floats.count), numbers(bias.floats.count, 6))
      kernel.backwardWeights(
        form(x), form(dy), dWeight: dWeight.start, dBias: dBias.floats.start, adds: false, samples: c.samples, context)
      return (y, dx, [dWeight, dBias.floats].map { Array($0.elements) })
    }
    let expected = passes { Stored($0.floats.start) }
    let found = passes { Stored(nil, halves: $0.halves.start) }
    for (expected, found) in [(expected.y, found.y), (expected.dx, found.dx)] {
      let floats = expected.floats
      BFloat16.round(floats.start, keeping: expected.halves.start, count: floats.count)
      #expect(expected.halves.elements.elementsEqual(found.halves.elements))
    }
    #expect(found.gradients == expected.gradients)
  }

  /// bf16 numbers in both forms.
  private struct Numbers {
    let floats: AlignedBuffer<Float>
    let halves: AlignedBuffer<UInt16>
  }

  private func numbers(_ count: Int, _ number: Int) -> Numbers {
    let numbers = Numbers(floats: AlignedBuffer(count: count), halves: AlignedBuffer(count: count))
    numbers.floats.start.update(from: LayerRun.random(count, number: number), count: count)
    BFloat16.round(numbers.floats.start, keeping: numbers.halves.start, count: count)
    return numbers
  }

  @Test(arguments: cases.filter { $0.kernel != 3 || $0.stride > 1 }) func direct(_ c: ConvolutionCase) {
    c.check(.direct, tolerance: 1e-6)
  }

  /// The usual choice, of bf16 numbers alone.
  @Test(needsAMX) func choice() {
    let geometry = Self.cases[0].geometry
    #expect(ConvolutionAlgorithms(for: geometry, inBFloat16: true) == ConvolutionAlgorithms(.amx))
    #expect(ConvolutionAlgorithms(for: geometry, inBFloat16: false) == ConvolutionAlgorithms(.winograd(tile: 4)))
    let small = ConvolutionCase(samples: 1, inputs: 16, outputs: 16, height: 2, width: 2).geometry
    let algorithms = ConvolutionAlgorithms(for: small, inBFloat16: true)
    #expect((algorithms.forward, algorithms.backwardData) == (.amx, .amx))
    #expect(algorithms.backwardWeights == .winograd(tile: 2))
    #expect(geometry.algorithms(inBFloat16: true).contains(.amx))
    #expect(!geometry.algorithms(inBFloat16: false).contains(.amx))
  }

  /// A sample has the same bits in any company: slices may be cut anywhere.
  @Test(needsAMX, arguments: [2, 9, 20]) func samplesDoNotDependOnTheirNumber(side: Int) {
    let samples = 19
    let c = ConvolutionCase(samples: samples, inputs: 48, outputs: 32, height: side, width: side)
    let kernel = ConvolutionKernel(
      c.geometry, ConvolutionAlgorithms(.amx), samples: samples, needsInputGradient: true)
    let context = KernelContext()
    let x = BlockedArray(LayerRun.random(samples * c.input.count, number: 0), c.geometry.input)
    let dy = BlockedArray(LayerRun.random(samples * c.output.count, number: 1), c.geometry.output)
    let weight = AlignedBuffer<Float>(count: kernel.weightLayout.count)
    kernel.weightLayout.pack(LayerRun.random(48 * 32 * 9, number: 2), to: weight.start, context)
    let (forward, backward) = (
      AlignedBuffer<Float>(count: kernel.forwardWeightCount), AlignedBuffer<Float>(count: kernel.backwardWeightCount)
    )
    kernel.prepareForward(weight.start, into: forward.start, context)
    kernel.prepareBackward(weight.start, into: backward.start, context)
    func passes(_ first: Int, _ count: Int) -> (y: [UInt32], dx: [UInt32]) {
      let y = AlignedBuffer<Float>(count: count * c.geometry.output.sampleStride)
      let dx = AlignedBuffer<Float>(count: count * c.geometry.input.sampleStride)
      kernel.forward(
        Stored(x.start + first * c.geometry.input.sampleStride), weight: forward.start, bias: nil, y: Stored(y.start),
        samples: count,
        context)
      kernel.backwardData(
        Stored(dy.start + first * c.geometry.output.sampleStride), weight: backward.start, dx: Stored(dx.start),
        samples: count,
        context)
      return (y.elements.map(\.bitPattern), dx.elements.map(\.bitPattern))
    }
    let whole = passes(0, samples)
    for cut in 1..<samples {
      let (before, after) = (passes(0, cut), passes(cut, samples - cut))
      #expect(before.y + after.y == whole.y && before.dx + after.dx == whole.dx, "cut after \(cut)")
    }
  }
}
