import Tensors

/// How long a convolution's kernels take by themselves.
package struct ConvolutionTiming {
  private let kernel: ConvolutionKernel
  private let samples: Int
  private let context = KernelContext()
  private let x: AlignedBuffer<Float>
  private let y: AlignedBuffer<Float>
  private let weights: [AlignedBuffer<Float>]
  private let bias: AlignedBuffer<Float>

  /// - Parameter samples: samples per call.
  package init(_ geometry: ConvolutionGeometry, _ algorithm: ConvolutionAlgorithm, samples: Int) {
    kernel = ConvolutionKernel(
      geometry, ConvolutionAlgorithms(algorithm), samples: samples, needsInputGradient: true)
    self.samples = samples
    x = AlignedBuffer(count: samples * geometry.input.sampleStride)
    y = AlignedBuffer(count: samples * geometry.output.sampleStride)
    weights = [kernel.weightLayout.count, kernel.forwardWeightCount, kernel.backwardWeightCount].map {
      AlignedBuffer(count: $0)
    }
    bias = AlignedBuffer(count: geometry.output.paddedChannels)
  }

  /// The seconds of one call.
  package func seconds(_ pass: ConvolutionPassKind) -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    switch pass {
    case .forward:
      kernel.forward(
        Stored(x.start), weight: (kernel.forwardWeightCount > 0 ? weights[1] : weights[0]).start, bias: bias.start,
        y: Stored(y.start),
        samples: samples, context)
    case .backwardData:
      kernel.backwardData(
        Stored(y.start), weight: (kernel.backwardWeightCount > 0 ? weights[2] : weights[0]).start, dx: Stored(x.start),
        samples: samples, context)
    case .backwardWeights:
      kernel.backwardWeights(
        Stored(x.start), Stored(y.start), dWeight: weights[0].start, dBias: bias.start, adds: false,
        samples: samples, context)
    }
    return (clock.now - start) / .seconds(1)
  }
}
