import COneDNN
import CKernels
import Tensors

/// A pass over bf16 numbers by AMX's matrix products.
///
/// Our own, because oneDNN's want all channels of a pixel side by side, which would cost every other layer its blocks. The
/// products are exact; their sums are Floats.
final class AMXConvolution: ConvolutionPass {
  let weight: dnnl_memory_desc_t
  private let kind: ConvolutionPassKind
  private let shape: amx_shape
  private let hasBias: Bool

  init(_ kind: ConvolutionPassKind, _ geometry: ConvolutionGeometry) {
    invariant(geometry.suitsAMX, "no convolution by AMX for \(geometry)")
    self.kind = kind
    hasBias = geometry.hasBias
    let (x, y) = (geometry.input, geometry.output)
    shape = amx_shape(
      inputs: Int32(x.paddedChannels), outputs: Int32(y.paddedChannels), height: Int32(x.shape.height),
      width: Int32(x.shape.width), output_height: Int32(y.shape.height), output_width: Int32(y.shape.width),
      kernel_height: Int32(geometry.kernelHeight), kernel_width: Int32(geometry.kernelWidth),
      stride: Int32(geometry.stride), padding: Int32(geometry.padding))
    weight =
      switch kind {
      case .forward:
        OneDNN.descriptor(
          geometry.weightShape, shape.inputs % 32 == 0 ? dnnl_OIhw16i16o2i : dnnl_OIhw8i16o2i, dnnl_bf16)
      case .backwardData:
        OneDNN.descriptor(
          geometry.weightShape, shape.outputs % 32 == 0 ? dnnl_OIhw16o16i2o : dnnl_OIhw8o16i2o, dnnl_bf16)
      case .backwardWeights: OneDNN.descriptor(geometry.weightShape, dnnl_OIhw16i16o)
      }
  }

  var takesHalves: Bool { true }
  var takesAnyCount: Bool { true }

  func implementation(samples: Int) -> String { "AMX in bf16" }

  func run(
    x: Stored, weight: UnsafePointer<Float>, y: Stored, bias: UnsafePointer<Float>?, adds: Bool, samples: Int,
    _ context: KernelContext
  ) {
    let count = Int32(samples)
    let scratch = withUnsafePointer(to: shape) {
      context.area(0, amx_scratch($0, count) / MemoryLayout<Float>.size)
    }
    let bias = hasBias ? bias : nil
    let rounded = UnsafeRawPointer(weight).assumingMemoryBound(to: UInt16.self)
    withUnsafePointer(to: shape) { shape in
      switch kind {
      case .forward: amx_forward(shape, x.place, rounded, bias, y.place, count, scratch)
      case .backwardData: amx_backward_data(shape, y.place, rounded, x.place, count, scratch)
      case .backwardWeights:
        amx_backward_weights(
          shape, x.place, y.place, UnsafeMutablePointer(mutating: weight), UnsafeMutablePointer(mutating: bias),
          adds ? 1 : 0, count, scratch)
      }
    }
  }
}

extension ConvolutionGeometry {
  /// Whether AMX can compute the convolution, of bf16 numbers.
  var suitsAMX: Bool {
    InstructionSet.hasAMX && (input.block, output.block) == (16, 16) && (dilation, groups) == (1, 1)
      && max(kernelHeight, kernelWidth) <= Int(AMX_TAPS)
  }
}
