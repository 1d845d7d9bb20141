import Kernels
import Support
import Tensors
import Testing

/// A convolution with random inputs, and what it is by definition.
struct ConvolutionCase: Sendable, CustomTestStringConvertible {
  var samples: Int
  var inputs: Int
  var outputs: Int
  var height: Int
  var width: Int
  var kernel = 3
  var stride = 1
  var padding = 1
  var hasBias = false
  var isPlain = false

  var testDescription: String {
    "\(samples)x\(inputs)x\(height)x\(width) -> \(outputs), kernel \(kernel), stride \(stride), padding \(padding)"
      + (hasBias ? ", bias" : "")
  }

  var input: SampleShape { SampleShape(channels: inputs, height: height, width: width) }

  var output: SampleShape {
    SampleShape(
      channels: outputs, height: (height + 2 * padding - kernel) / stride + 1,
      width: (width + 2 * padding - kernel) / stride + 1)
  }

  var geometry: ConvolutionGeometry {
    let block = InstructionSet.channelBlock
    let input = ActivationLayout(shape: input, block: isPlain ? 1 : block)
    return ConvolutionGeometry(
      input: input, output: ActivationLayout(shape: output, block: block),
      kernelHeight: kernel, kernelWidth: kernel, stride: stride, padding: padding, dilation: 1, groups: 1,
      hasBias: hasBias)
  }

  /// All passes by an algorithm against the definition.
  ///
  /// - Parameters:
  ///   - inBFloat16: whether inputs are bf16 numbers.
  ///   - tolerance: of the relative error; a weight's gradient, with its longer sums, may have twice as much.
  func check(_ algorithm: ConvolutionAlgorithm, inBFloat16: Bool = false, tolerance: Double) {
    func random(_ count: Int, number: Int) -> [Float] {
      var values = LayerRun.random(count, number: number)
      if inBFloat16 {
        values.withUnsafeMutableBufferPointer { BFloat16.round($0.baseAddress!, to: $0.baseAddress!, count: count) }
      }
      return values
    }
    let (x, y) = (input, output)
    let convolution = ConvolutionKernel(
      geometry, ConvolutionAlgorithms(algorithm), samples: samples, needsInputGradient: true)
    let context = KernelContext()
    // What kernels read of their scratch memory they have written.
    context.area(0, 1 << 22).update(repeating: .nan, count: 1 << 22)
    let values = random(samples * x.count, number: 0)
    let gradients = random(samples * y.count, number: 1)
    let weight = random(outputs * inputs * kernel * kernel, number: 2)
    let bias = AlignedBuffer<Float>(count: geometry.output.paddedChannels)
    bias.start.update(from: LayerRun.random(outputs, number: 3), count: outputs)
    let expected = definition(values, gradients, weight, hasBias ? bias.start : nil)

    let packedWeight = AlignedBuffer<Float>(count: convolution.weightLayout.count)
    convolution.weightLayout.pack(weight, to: packedWeight.start, context)
    let forwardWeight = AlignedBuffer<Float>(count: convolution.forwardWeightCount)
    let backwardWeight = AlignedBuffer<Float>(count: convolution.backwardWeightCount)
    convolution.prepareForward(packedWeight.start, into: forwardWeight.start, context)
    convolution.prepareBackward(packedWeight.start, into: backwardWeight.start, context)
    let (packedX, packedDy) = (BlockedArray(values, geometry.input), BlockedArray(gradients, geometry.output))
    let packedY = BlockedArray([Float](repeating: .nan, count: samples * y.count), geometry.output)
    convolution.forward(
      Stored(packedX.start), weight: convolution.forwardWeightCount > 0 ? forwardWeight.start : packedWeight.start,
      bias: bias.start, y: Stored(packedY.start), samples: samples, context)
    #expect(relativeError(packedY.plain, expected.y) < tolerance)

    let packedDx = BlockedArray([Float](repeating: .nan, count: samples * x.count), geometry.input)
    convolution.backwardData(
      Stored(packedDy.start), weight: convolution.backwardWeightCount > 0 ? backwardWeight.start : packedWeight.start,
      dx: Stored(packedDx.start), samples: samples, context)
    #expect(relativeError(packedDx.plain, expected.dx) < tolerance)

    let dWeight = AlignedBuffer<Float>(count: convolution.weightLayout.count)
    let dBias = AlignedBuffer<Float>(count: geometry.output.paddedChannels)
    for buffer in [dWeight, dBias] { buffer.start.update(repeating: .nan, count: buffer.count) }
    // Twice, the second time added to the first, the whole sum at once: that doubles it to the last bit.
    var once: [[Float]] = []
    for (adds, factor) in [(false, Float(1)), (true, 2)] {
      convolution.backwardWeights(
        Stored(packedX.start), Stored(packedDy.start), dWeight: dWeight.start, dBias: dBias.start, adds: adds,
        samples: samples,
        context)
      let found = [dWeight, dBias].map { Array($0.elements) }
      if adds { #expect(found[0] == once[0].map { 2 * $0 } && (!hasBias || found[1] == once[1].map { 2 * $0 })) }
      once = found
      var plainWeight = [Float](repeating: .nan, count: weight.count)
      convolution.weightLayout.unpack(dWeight.start, to: &plainWeight, context)
      #expect(relativeError(plainWeight, expected.dWeight.map { factor * $0 }) < 2 * tolerance)
      if hasBias {
        let plainBias = [Float](UnsafeBufferPointer(start: dBias.start, count: outputs))
        #expect(relativeError(plainBias, expected.dBias.map { factor * $0 }) < 1e-6)
        #expect((outputs..<dBias.count).allSatisfy { dBias.start[$0] == 0 })
      }
    }
  }

  /// The definition, by loops in Double.
  private func definition(
    _ x: [Float], _ dy: [Float], _ weight: [Float], _ bias: UnsafePointer<Float>?
  ) -> (y: [Float], dx: [Float], dWeight: [Float], dBias: [Float]) {
    let taps = kernel * kernel
    var y = [Double](repeating: 0, count: dy.count)
    var dx = [Double](repeating: 0, count: x.count)
    var dWeight = [Double](repeating: 0, count: weight.count)
    var dBias = [Double](repeating: 0, count: outputs)
    for n in 0..<samples {
      for k in 0..<outputs {
        for i in 0..<output.height {
          for j in 0..<output.width {
            let out = ((n * outputs + k) * output.height + i) * output.width + j
            var sum = bias.map { Double($0[k]) } ?? 0
            let gradient = Double(dy[out])
            dBias[k] += gradient
            for r in 0..<kernel where (0..<height).contains(i * stride + r - padding) {
              for s in 0..<kernel where (0..<width).contains(j * stride + s - padding) {
                for channel in 0..<inputs {
                  let row = (n * inputs + channel) * height + i * stride + r - padding
                  let (source, tap) = (
                    row * width + j * stride + s - padding, (k * inputs + channel) * taps + r * kernel + s
                  )
                  sum += Double(x[source]) * Double(weight[tap])
                  dx[source] += gradient * Double(weight[tap])
                  dWeight[tap] += gradient * Double(x[source])
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
