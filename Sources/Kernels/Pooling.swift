import CKernels
import COneDNN
import Tensors

/// The shapes of a pooling.
package struct PoolingGeometry: Hashable, Sendable {
  package var input: ActivationLayout
  package var output: ActivationLayout
  package var kernelHeight: Int
  package var kernelWidth: Int
  package var stride: Int
  package var padding: Int

  package init(
    input: ActivationLayout, output: ActivationLayout, kernelHeight: Int, kernelWidth: Int, stride: Int,
    padding: Int
  ) {
    self.input = input
    self.output = output
    self.kernelHeight = kernelHeight
    self.kernelWidth = kernelWidth
    self.stride = stride
    self.padding = padding
  }
}

/// Average pooling, by oneDNN. x: [N, C, H, W], y: [N, C, H', W'].
package final class AveragePoolingKernel: Sendable {
  private let geometry: PoolingGeometry
  private let countsPadding: Bool
  private let passes = Cache<Int, Passes>()

  private struct Passes: Sendable {
    let forward: Primitive
    let backward: Primitive
  }

  /// - Parameter countsPadding: whether the zeros of the padding count as elements.
  package init(_ geometry: PoolingGeometry, countsPadding: Bool) {
    self.geometry = geometry
    self.countsPadding = countsPadding
  }

  /// y = the mean element under the kernel.
  package func forward(
    _ x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, samples: Int, _ context: KernelContext
  ) {
    passes.with(samples, make: { make(samples) }) { context.run($0.forward, x, y) }
  }

  /// dx = dy spread over the mean's elements.
  package func backward(
    _ dy: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, samples: Int, _ context: KernelContext
  ) {
    passes.with(samples, make: { make(samples) }) { context.run($0.backward, dy, dx) }
  }

  private func make(_ samples: Int) -> Passes {
    var x = OneDNN.descriptor(geometry.input, samples: samples)
    var y = OneDNN.descriptor(geometry.output, samples: samples)
    let algorithm = countsPadding ? dnnl_pooling_avg_include_padding : dnnl_pooling_avg_exclude_padding
    let strides = OneDNN.dimensions([geometry.stride, geometry.stride])
    let kernel = OneDNN.dimensions([geometry.kernelHeight, geometry.kernelWidth])
    let near = OneDNN.dimensions([geometry.padding, geometry.padding])
    // The far padding that makes whole strides add up to the output; the rest of the input is left out, as in PyTorch.
    func far(_ output: Int, _ kernel: Int, _ input: Int) -> Int {
      (output - 1) * geometry.stride + kernel - input - geometry.padding
    }
    let (input, output) = (geometry.input.shape, geometry.output.shape)
    let rest = OneDNN.dimensions([
      far(output.height, geometry.kernelHeight, input.height), far(output.width, geometry.kernelWidth, input.width),
    ])
    var forwardOperation = dnnl_pooling_desc_t()
    OneDNN.check(
      dnnl_pooling_forward_desc_init(
        &forwardOperation, dnnl_forward_training, algorithm, &x, &y, strides, kernel, near, rest),
      "dnnl_pooling_forward_desc_init")
    var backwardOperation = dnnl_pooling_desc_t()
    OneDNN.check(
      dnnl_pooling_backward_desc_init(&backwardOperation, algorithm, &x, &y, strides, kernel, near, rest),
      "dnnl_pooling_backward_desc_init")
    guard let forward = PrimitiveDescriptor(forwardOperation),
      let backward = PrimitiveDescriptor(backwardOperation, hint: forward)
    else { invariantFailure("oneDNN has no pooling for \(geometry)") }
    return Passes(
      forward: Primitive(forward, [(DNNL_ARG_SRC, x), (DNNL_ARG_DST, y)]),
      backward: Primitive(backward, [(DNNL_ARG_DIFF_DST, y), (DNNL_ARG_DIFF_SRC, x)]))
  }
}

/// Max pooling. x: [N, C, H, W], y: [N, C, H', W'].
///
/// Our own, because oneDNN's takes ten times as long on AVX2 and wants a record of which element was the largest.
package enum MaxPoolingKernel {
  /// y = the largest element under the kernel.
  package static func forward(
    _ x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, _ geometry: PoolingGeometry, samples: Int
  ) {
    withUnsafePointer(to: geometry.cShape) { max_pooling_forward($0, x, y, Int32(samples)) }
  }

  /// dx = dy where the maximum was; the first of equals.
  package static func backward(
    _ dy: UnsafePointer<Float>, x: UnsafePointer<Float>, y: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    _ geometry: PoolingGeometry, samples: Int
  ) {
    withUnsafePointer(to: geometry.cShape) { max_pooling_backward($0, x, y, dy, dx, Int32(samples)) }
  }
}

extension PoolingGeometry {
  var cShape: pooling_shape {
    pooling_shape(
      block: Int32(input.block), channels: Int32(input.paddedChannels), height: Int32(input.shape.height),
      width: Int32(input.shape.width), output_height: Int32(output.shape.height),
      output_width: Int32(output.shape.width), kernel_height: Int32(kernelHeight), kernel_width: Int32(kernelWidth),
      stride: Int32(stride), padding: Int32(padding))
  }
}
