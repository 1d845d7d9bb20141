import COneDNN
import Tensors

/// A convolution's three passes.
///
/// x: [N, C, H, W], y: [N, K, H', W'], weight: [K, C/groups, R, S]; activations blocked, weights in the layout of the
/// weight gradient, because that is written most often.
package final class ConvolutionKernel: Sendable {
  /// The layout of weight and dWeight.
  package let weightLayout: WeightLayout
  /// The layout of bias and dBias: padded with zeros to whole blocks.
  package let biasLayout: WeightLayout?
  /// Floats' worth of memory of the copy of the weight that `forward` wants, or 0 if it takes the weight itself.
  package let forwardWeightCount: Int
  /// Floats' worth of memory of the copy of the weight that `backwardData` wants, or 0 if it takes the weight itself.
  package let backwardWeightCount: Int

  private let forwardPass: any ConvolutionPass
  private let dataPass: (any ConvolutionPass)?
  private let weightsPass: any ConvolutionPass
  /// The same, if it adds up.
  private let summingPass: (any SummingPass)?
  private let toForward: Primitive?
  private let toBackward: Primitive?

  /// - Parameters:
  ///   - samples: a usual number of samples per call; layouts are those that suit it.
  ///   - needsInputGradient: false for the network's first layer.
  package init(
    _ geometry: ConvolutionGeometry, _ algorithms: ConvolutionAlgorithms, samples: Int, needsInputGradient: Bool
  ) {
    func pass(_ kind: ConvolutionPassKind, _ algorithm: ConvolutionAlgorithm) -> any ConvolutionPass {
      switch algorithm {
      case .direct: DirectConvolution(kind, geometry, samples: samples)
      case .winograd where kind == .backwardData && geometry.isStem: DirectConvolution(kind, geometry, samples: samples)
      case .winograd(let tile): WinogradConvolution(kind, geometry, tile: tile)
      case .amx: AMXConvolution(kind, geometry)
      }
    }
    forwardPass = pass(.forward, algorithms.forward)
    dataPass = needsInputGradient ? pass(.backwardData, algorithms.backwardData) : nil
    weightsPass = pass(.backwardWeights, algorithms.backwardWeights)
    summingPass = weightsPass as? any SummingPass
    let gradient = weightsPass.weight
    weightLayout = WeightLayout(shape: geometry.weightShape, plain: geometry.plainWeight, kernel: gradient)
    biasLayout =
      geometry.hasBias
      ? WeightLayout(plain: [geometry.output.shape.channels], paddedCount: geometry.output.paddedChannels) : nil

    func copy(to target: dnnl_memory_desc_t?) -> (Primitive?, Int) {
      guard var destination = target else { return (nil, 0) }
      var source = gradient
      if dnnl_memory_desc_equal(&source, &destination) != 0 { return (nil, 0) }
      let bytes = dnnl_memory_desc_get_size(&destination)
      let size = MemoryLayout<Float>.size
      return (Reorder.primitive(from: source, to: destination), (bytes + size - 1) / size)
    }
    (toForward, forwardWeightCount) = copy(to: forwardPass.weight)
    (toBackward, backwardWeightCount) = copy(to: dataPass?.weight)
  }

  /// Whether activations, on the way forward, or what is read and written on the way back, may be 16-bit numbers.
  package var forwardTakesHalves: Bool { forwardPass.takesHalves }
  package var backwardTakesHalves: Bool { weightsPass.takesHalves && dataPass?.takesHalves ?? true }

  package var forwardTakesAnyCount: Bool { forwardPass.takesAnyCount }
  package var backwardDataTakesAnyCount: Bool { dataPass?.takesAnyCount ?? true }

  /// The implementations for that many samples.
  package func implementations(samples: Int) -> [String] {
    [forwardPass, dataPass, weightsPass].compactMap { $0?.implementation(samples: samples) }
  }

  /// Makes the copy of the weight that `forward` wants, if it wants one.
  package func prepareForward(
    _ weight: UnsafePointer<Float>, into copy: UnsafeMutablePointer<Float>, _ context: KernelContext
  ) {
    if let toForward { context.run(toForward, weight, copy) }
  }

  /// Makes the copy of the weight that `backwardData` wants, if it wants one.
  package func prepareBackward(
    _ weight: UnsafePointer<Float>, into copy: UnsafeMutablePointer<Float>, _ context: KernelContext
  ) {
    if let toBackward { context.run(toBackward, weight, copy) }
  }

  /// y = x * weight + bias.
  package func forward(
    _ x: Stored, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?, y: Stored, samples: Int,
    _ context: KernelContext
  ) {
    forwardPass.run(x: x, weight: weight, y: y, bias: bias, adds: false, samples: samples, context)
  }

  /// dx = the transposed convolution of dy with the weight.
  package func backwardData(
    _ dy: Stored, weight: UnsafePointer<Float>, dx: Stored, samples: Int, _ context: KernelContext
  ) {
    guard let dataPass else { invariantFailure("a convolution compiled without an input gradient is asked for one") }
    dataPass.run(x: dx, weight: weight, y: dy, bias: nil, adds: false, samples: samples, context)
  }

  /// dWeight = the correlation of x with dy; dBias = the sum of dy; added to what is there if it `adds`.
  package func backwardWeights(
    _ x: Stored, _ dy: Stored, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, adds: Bool,
    samples: Int, _ context: KernelContext
  ) {
    weightsPass.run(x: x, weight: dWeight, y: dy, bias: dBias, adds: adds, samples: samples, context)
  }

  /// Whether the gradients of weight and bias over several summands, of so many samples in all, can be made at once.
  package func addsUp(samples: Int) -> Bool { summingPass?.addsUp(samples: samples) ?? false }

  /// The same over several summands, which must `addsUp`: each one's are those of a call for its samples, added up as they
  /// say; in the end there is one sum.
  package func backwardWeights(
    _ x: Stored, _ dy: Stored, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, adds: Bool,
    summands: UnsafeBufferPointer<Summand>, _ context: KernelContext
  ) {
    guard let summingPass else { invariantFailure("a convolution that adds up no summands is asked to") }
    summingPass.backwardWeights(x, dy, dWeight: dWeight, dBias: dBias, adds: adds, summands: summands, context)
  }
}
