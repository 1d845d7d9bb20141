import COneDNN
import Tensors

/// The shapes of a two-dimensional convolution.
package struct ConvolutionGeometry: Hashable, Sendable {
  package var input: ActivationLayout
  package var output: ActivationLayout
  package var kernelHeight: Int
  package var kernelWidth: Int
  package var stride: Int
  package var padding: Int
  package var dilation: Int
  package var groups: Int
  package var hasBias: Bool

  package init(
    input: ActivationLayout, output: ActivationLayout, kernelHeight: Int, kernelWidth: Int, stride: Int, padding: Int,
    dilation: Int, groups: Int, hasBias: Bool
  ) {
    self.input = input
    self.output = output
    self.kernelHeight = kernelHeight
    self.kernelWidth = kernelWidth
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.groups = groups
    self.hasBias = hasBias
  }
}

/// A convolution's three passes, by oneDNN.
///
/// x: [N, C, H, W], y: [N, K, H', W'], weight: [K, C/groups, R, S]; activations blocked, weights in the layout of the
/// weight gradient, because that is written most often. Primitives are made once per number of samples.
package final class ConvolutionKernel: Sendable {
  package let geometry: ConvolutionGeometry
  /// The layout of weight and dWeight.
  package let weightLayout: WeightLayout
  /// The layout of bias and dBias: padded with zeros to whole blocks.
  package let biasLayout: WeightLayout?
  /// Elements of the copy of the weight that `forward` wants, or 0 if it takes the weight itself.
  package let forwardWeightCount: Int
  /// Elements of the copy of the weight that `backwardData` wants, or 0 if it takes the weight itself.
  package let backwardWeightCount: Int

  private let layouts: Layouts
  private let toForward: Primitive?
  private let toBackward: Primitive?
  private let forwards = Cache<Int, Primitive>()
  private let backwardDatas = Cache<Int, Primitive>()
  private let backwardWeights = Cache<Int, Primitive>()

  private struct Layouts: Sendable {
    var forward: dnnl_memory_desc_t
    var backwardData: dnnl_memory_desc_t
    var gradient: dnnl_memory_desc_t
  }

  /// - Parameters:
  ///   - samples: a usual number of samples per call; the weights' layouts are those that suit it.
  ///   - needsInputGradient: false for the network's first layer.
  package init(_ geometry: ConvolutionGeometry, samples: Int, needsInputGradient: Bool) {
    self.geometry = geometry
    let any = geometry.weightDescriptor(dnnl_format_tag_any)
    let forward = geometry.forward(samples, weight: any)
    let layouts = Layouts(
      forward: forward.layout(dnnl_query_weights_md),
      backwardData: needsInputGradient
        ? geometry.backwardData(samples, weight: any, hint: forward).layout(dnnl_query_weights_md) : any,
      gradient: geometry.backwardWeights(samples, weight: any, hint: forward).layout(dnnl_query_diff_weights_md))
    self.layouts = layouts
    let plainTag = geometry.groups == 1 ? dnnl_oihw : dnnl_goihw
    weightLayout = WeightLayout(
      shape: geometry.weightShape, plain: geometry.weightDescriptor(plainTag), kernel: layouts.gradient)
    biasLayout =
      geometry.hasBias
      ? WeightLayout(plain: [geometry.output.shape.channels], paddedCount: geometry.output.paddedChannels) : nil

    func copy(_ target: dnnl_memory_desc_t) -> (Primitive?, Int) {
      var (source, destination) = (layouts.gradient, target)
      if dnnl_memory_desc_equal(&source, &destination) != 0 { return (nil, 0) }
      let bytes = dnnl_memory_desc_get_size(&destination)
      return (Reorder.primitive(from: source, to: destination), bytes / MemoryLayout<Float>.size)
    }
    (toForward, forwardWeightCount) = copy(layouts.forward)
    (toBackward, backwardWeightCount) = needsInputGradient ? copy(layouts.backwardData) : (nil, 0)
  }

  /// The implementations that oneDNN chose for that many samples: forward, backward data, backward weights.
  package func implementations(samples: Int) -> [String] {
    [forward(samples), backwardData(samples), backwardWeights(samples)].map(\.implementation)
  }

  /// Makes the copies of the weight that the passes want; to be called whenever the weight has changed.
  ///
  /// - Parameter backward: nil if no backward pass follows.
  package func prepare(
    weight: UnsafePointer<Float>, forward: UnsafeMutablePointer<Float>, backward: UnsafeMutablePointer<Float>?,
    _ context: KernelContext
  ) {
    if let toForward { context.run(toForward, weight, forward) }
    if let toBackward, let backward { context.run(toBackward, weight, backward) }
  }

  /// y = x * weight + bias.
  package func forward(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, samples: Int, _ context: KernelContext
  ) {
    context.run(forward(samples), x, weight, y, bias)
  }

  /// dx = the transposed convolution of dy with the weight.
  package func backwardData(
    _ dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, samples: Int,
    _ context: KernelContext
  ) {
    context.run(backwardData(samples), dy, weight, dx)
  }

  /// dWeight = the correlation of x with dy; dBias = the sum of dy. Both are overwritten.
  package func backwardWeights(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Float>,
    dBias: UnsafeMutablePointer<Float>?, samples: Int, _ context: KernelContext
  ) {
    context.run(backwardWeights(samples), x, dy, dWeight, dBias)
  }

  // MARK: - Primitives

  private func forward(_ samples: Int) -> Primitive {
    forwards.value(for: samples) {
      let descriptor = geometry.forward(samples, weight: layouts.forward)
      var arguments = [
        (DNNL_ARG_SRC, descriptor.layout(dnnl_query_src_md)), (DNNL_ARG_WEIGHTS, layouts.forward),
        (DNNL_ARG_DST, descriptor.layout(dnnl_query_dst_md)),
      ]
      if geometry.hasBias { arguments.append((DNNL_ARG_BIAS, geometry.biasDescriptor)) }
      return Primitive(descriptor, arguments)
    }
  }

  private func backwardData(_ samples: Int) -> Primitive {
    backwardDatas.value(for: samples) {
      let hint = geometry.forward(samples, weight: layouts.forward)
      let descriptor = geometry.backwardData(samples, weight: layouts.backwardData, hint: hint)
      return Primitive(
        descriptor,
        [
          (DNNL_ARG_DIFF_DST, descriptor.layout(dnnl_query_diff_dst_md)),
          (DNNL_ARG_WEIGHTS, descriptor.layout(dnnl_query_weights_md)),
          (DNNL_ARG_DIFF_SRC, descriptor.layout(dnnl_query_diff_src_md)),
        ])
    }
  }

  private func backwardWeights(_ samples: Int) -> Primitive {
    backwardWeights.value(for: samples) {
      let hint = geometry.forward(samples, weight: layouts.forward)
      let descriptor = geometry.backwardWeights(samples, weight: layouts.gradient, hint: hint)
      var arguments = [
        (DNNL_ARG_SRC, descriptor.layout(dnnl_query_src_md)),
        (DNNL_ARG_DIFF_DST, descriptor.layout(dnnl_query_diff_dst_md)), (DNNL_ARG_DIFF_WEIGHTS, layouts.gradient),
      ]
      if geometry.hasBias { arguments.append((DNNL_ARG_DIFF_BIAS, geometry.biasDescriptor)) }
      return Primitive(descriptor, arguments)
    }
  }
}

// MARK: - Descriptors

extension ConvolutionGeometry {
  fileprivate var weightShape: [Int] {
    [output.shape.channels, input.shape.channels / groups, kernelHeight, kernelWidth]
  }

  fileprivate var biasDescriptor: dnnl_memory_desc_t { OneDNN.descriptor(vector: output.shape.channels) }

  fileprivate func weightDescriptor(_ tag: dnnl_format_tag_t) -> dnnl_memory_desc_t {
    if groups == 1 { return OneDNN.descriptor(weightShape, tag) }
    return OneDNN.descriptor([groups, weightShape[0] / groups] + weightShape[1...], tag)
  }

  private var strides: [dnnl_dim_t] { OneDNN.dimensions([stride, stride]) }
  private var paddings: [dnnl_dim_t] { OneDNN.dimensions([padding, padding]) }
  /// oneDNN counts the skipped elements.
  private var dilations: [dnnl_dim_t] { OneDNN.dimensions([dilation - 1, dilation - 1]) }
  /// What is left of the padding at the far end once whole strides are taken, as oneDNN wants it to add up.
  private var farPaddings: [dnnl_dim_t] {
    func far(_ input: Int, _ output: Int, _ kernel: Int) -> Int {
      (output - 1) * stride + (kernel - 1) * dilation + 1 - input - padding
    }
    return OneDNN.dimensions([
      far(input.shape.height, output.shape.height, kernelHeight),
      far(input.shape.width, output.shape.width, kernelWidth),
    ])
  }

  fileprivate func forward(_ samples: Int, weight: dnnl_memory_desc_t) -> PrimitiveDescriptor {
    var x = OneDNN.descriptor(input, samples: samples)
    var y = OneDNN.descriptor(output, samples: samples)
    var (weight, bias) = (weight, biasDescriptor)
    var operation = dnnl_convolution_desc_t()
    OneDNN.check(
      withUnsafePointer(to: &bias) {
        dnnl_dilated_convolution_forward_desc_init(
          &operation, dnnl_forward_training, dnnl_convolution_direct, &x, &weight, hasBias ? $0 : nil, &y,
          strides, dilations, paddings, farPaddings)
      }, "dnnl_dilated_convolution_forward_desc_init")
    return implemented(PrimitiveDescriptor(operation), "forward")
  }

  fileprivate func backwardData(
    _ samples: Int, weight: dnnl_memory_desc_t, hint: PrimitiveDescriptor
  ) -> PrimitiveDescriptor {
    var x = OneDNN.descriptor(input, samples: samples)
    var y = OneDNN.descriptor(output, samples: samples)
    var weight = weight
    var operation = dnnl_convolution_desc_t()
    OneDNN.check(
      dnnl_dilated_convolution_backward_data_desc_init(
        &operation, dnnl_convolution_direct, &x, &weight, &y, strides, dilations, paddings, farPaddings),
      "dnnl_dilated_convolution_backward_data_desc_init")
    return implemented(PrimitiveDescriptor(operation, hint: hint), "backward data")
  }

  fileprivate func backwardWeights(
    _ samples: Int, weight: dnnl_memory_desc_t, hint: PrimitiveDescriptor
  ) -> PrimitiveDescriptor {
    var x = OneDNN.descriptor(input, samples: samples)
    var y = OneDNN.descriptor(output, samples: samples)
    var (weight, bias) = (weight, biasDescriptor)
    var operation = dnnl_convolution_desc_t()
    OneDNN.check(
      withUnsafePointer(to: &bias) {
        dnnl_dilated_convolution_backward_weights_desc_init(
          &operation, dnnl_convolution_direct, &x, &weight, hasBias ? $0 : nil, &y, strides, dilations, paddings,
          farPaddings)
      }, "dnnl_dilated_convolution_backward_weights_desc_init")
    return implemented(PrimitiveDescriptor(operation, hint: hint), "backward weights")
  }

  private func implemented(_ descriptor: PrimitiveDescriptor?, _ pass: String) -> PrimitiveDescriptor {
    // The reference implementation takes every shape, so a refusal is a mistake of ours.
    guard let descriptor else { invariantFailure("oneDNN has no convolution (\(pass)) for \(self)") }
    return descriptor
  }
}
