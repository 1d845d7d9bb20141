import COneDNN
import Tensors

/// The shapes and the kind of a pooling.
package struct PoolingGeometry: Hashable, Sendable {
  package enum Kind: Hashable, Sendable {
    case max
    case average(countsPadding: Bool)
  }

  package var kind: Kind
  package var input: ActivationLayout
  package var output: ActivationLayout
  package var kernelHeight: Int
  package var kernelWidth: Int
  package var stride: Int
  package var padding: Int

  package init(
    kind: Kind, input: ActivationLayout, output: ActivationLayout, kernelHeight: Int, kernelWidth: Int, stride: Int,
    padding: Int
  ) {
    self.kind = kind
    self.input = input
    self.output = output
    self.kernelHeight = kernelHeight
    self.kernelWidth = kernelWidth
    self.stride = stride
    self.padding = padding
  }
}

/// Max and average pooling, by oneDNN. x: [N, C, H, W], y: [N, C, H', W'].
package final class PoolingKernel: Sendable {
  package let geometry: PoolingGeometry
  /// Bytes per sample of the record of which element was the largest; 0 for averages.
  package let workspaceBytes: Int

  private let passes = Cache<Int, Passes>()

  private struct Passes: Sendable {
    let forward: Primitive
    let backward: Primitive
    let workspaceBytes: Int
  }

  package init(_ geometry: PoolingGeometry) {
    self.geometry = geometry
    workspaceBytes = geometry.passes(samples: 1).workspaceBytes
  }

  /// y = the largest or the mean element under the kernel; the first of equals.
  package func forward(
    _ x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, workspace: UnsafeMutablePointer<UInt8>, samples: Int,
    _ context: KernelContext
  ) {
    context.run(passes(samples).forward, x, y, workspaceBytes > 0 ? UnsafeRawPointer(workspace) : nil)
  }

  /// dx = dy where the maximum was, or spread over the mean's elements.
  package func backward(
    _ dy: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, workspace: UnsafePointer<UInt8>, samples: Int,
    _ context: KernelContext
  ) {
    context.run(passes(samples).backward, dy, dx, workspaceBytes > 0 ? UnsafeRawPointer(workspace) : nil)
  }

  private func passes(_ samples: Int) -> Passes {
    passes.value(for: samples) {
      let (forward, backward, bytes) = geometry.passes(samples: samples)
      return Passes(forward: forward, backward: backward, workspaceBytes: bytes)
    }
  }
}

extension PoolingGeometry {
  fileprivate func passes(samples: Int) -> (forward: Primitive, backward: Primitive, workspaceBytes: Int) {
    var x = OneDNN.descriptor(input, samples: samples)
    var y = OneDNN.descriptor(output, samples: samples)
    let algorithm =
      switch kind {
      case .max: dnnl_pooling_max
      case .average(countsPadding: true): dnnl_pooling_avg_include_padding
      case .average(countsPadding: false): dnnl_pooling_avg_exclude_padding
      }
    let strides = OneDNN.dimensions([stride, stride])
    let kernel = OneDNN.dimensions([kernelHeight, kernelWidth])
    let near = OneDNN.dimensions([padding, padding])
    // The far padding that makes whole strides add up to the output; the rest of the input is left out, as in PyTorch.
    let far = OneDNN.dimensions([
      (output.shape.height - 1) * stride + kernelHeight - input.shape.height - padding,
      (output.shape.width - 1) * stride + kernelWidth - input.shape.width - padding,
    ])
    var forwardOperation = dnnl_pooling_desc_t()
    OneDNN.check(
      dnnl_pooling_forward_desc_init(
        &forwardOperation, dnnl_forward_training, algorithm, &x, &y, strides, kernel, near, far),
      "dnnl_pooling_forward_desc_init")
    var backwardOperation = dnnl_pooling_desc_t()
    OneDNN.check(
      dnnl_pooling_backward_desc_init(&backwardOperation, algorithm, &x, &y, strides, kernel, near, far),
      "dnnl_pooling_backward_desc_init")
    guard let forward = PrimitiveDescriptor(forwardOperation),
      let backward = PrimitiveDescriptor(backwardOperation, hint: forward)
    else { invariantFailure("oneDNN has no pooling for \(self)") }
    var forwardArguments = [(DNNL_ARG_SRC, x), (DNNL_ARG_DST, y)]
    var backwardArguments = [(DNNL_ARG_DIFF_DST, y), (DNNL_ARG_DIFF_SRC, x)]
    var workspaceBytes = 0
    if kind == .max {
      var workspace = forward.layout(dnnl_query_workspace_md)
      workspaceBytes = dnnl_memory_desc_get_size(&workspace)
      forwardArguments.append((DNNL_ARG_WORKSPACE, workspace))
      backwardArguments.append((DNNL_ARG_WORKSPACE, workspace))
    }
    return (Primitive(forward, forwardArguments), Primitive(backward, backwardArguments), workspaceBytes)
  }
}
