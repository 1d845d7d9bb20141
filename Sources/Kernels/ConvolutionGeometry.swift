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

// MARK: - Descriptors

extension ConvolutionGeometry {
  /// The same convolution on plain activations.
  var plain: ConvolutionGeometry {
    var plain = self
    plain.input = ActivationLayout(shape: input.shape, block: 1)
    plain.output = ActivationLayout(shape: output.shape, block: 1)
    return plain
  }

  var weightShape: [Int] { [output.shape.channels, input.shape.channels / groups, kernelHeight, kernelWidth] }

  /// The weight as files hold it.
  var plainWeight: dnnl_memory_desc_t { weightDescriptor(groups == 1 ? dnnl_oihw : dnnl_goihw) }

  /// The weight in whatever layout suits the implementation.
  var anyWeight: dnnl_memory_desc_t { weightDescriptor(dnnl_format_tag_any) }

  private func weightDescriptor(_ tag: dnnl_format_tag_t) -> dnnl_memory_desc_t {
    if groups == 1 { return OneDNN.descriptor(weightShape, tag) }
    return OneDNN.descriptor([groups, weightShape[0] / groups] + weightShape[1...], tag)
  }

  /// What oneDNN has for a pass.
  func descriptor(_ kind: ConvolutionPassKind, samples: Int, weight: dnnl_memory_desc_t) -> PrimitiveDescriptor {
    switch kind {
    case .forward: forward(samples, weight: weight)
    case .backwardData: backwardData(samples, weight: weight, hint: forward(samples, weight: anyWeight))
    case .backwardWeights: backwardWeights(samples, weight: weight, hint: forward(samples, weight: anyWeight))
    }
  }

  private var biasDescriptor: dnnl_memory_desc_t { OneDNN.descriptor(vector: output.shape.channels) }
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

  private func forward(_ samples: Int, weight: dnnl_memory_desc_t) -> PrimitiveDescriptor {
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

  private func backwardData(
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

  private func backwardWeights(
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
