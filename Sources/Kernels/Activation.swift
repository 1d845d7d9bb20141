import COneDNN
import Tensors

/// An elementwise function and its derivative in terms of its result; by oneDNN, but for ReLU, whose NaN oneDNN's loses.
package final class ActivationKernel: Sendable {
  package enum Function: Sendable {
    case relu, sigmoid, tanh
  }

  private let function: Function
  private let forwards = Cache<Int, Primitive>()
  private let backwards = Cache<Int, Primitive>()

  package init(_ function: Function) {
    self.function = function
  }

  /// y = f(x), for `count` elements.
  package func forward(
    _ x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, count: Int, _ context: KernelContext
  ) {
    if function == .relu { return Elementwise.rectify(x, y: y, count: count) }
    forwards.with(count, make: { passes(count).forward }) { context.run($0, x, y) }
  }

  /// dx = dy * f'(x), from y alone, for `count` elements.
  package func backward(
    _ dy: UnsafePointer<Float>, y: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, count: Int,
    _ context: KernelContext
  ) {
    if function == .relu { return Elementwise.rectifyGradient(dy, where: y, dz: dx, count: count) }
    backwards.with(count, make: { passes(count).backward }) { context.run($0, dy, y, dx) }
  }

  private func passes(_ count: Int) -> (forward: Primitive, backward: Primitive) {
    let algorithm =
      switch function {
      case .relu: invariantFailure("ReLU is not oneDNN's")
      case .sigmoid: dnnl_eltwise_logistic_use_dst_for_bwd
      case .tanh: dnnl_eltwise_tanh_use_dst_for_bwd
      }
    var data = OneDNN.descriptor(vector: count)
    var forwardOperation = dnnl_eltwise_desc_t()
    OneDNN.check(
      dnnl_eltwise_forward_desc_init(&forwardOperation, dnnl_forward_training, algorithm, &data, 0, 0),
      "dnnl_eltwise_forward_desc_init")
    var backwardOperation = dnnl_eltwise_desc_t()
    OneDNN.check(
      dnnl_eltwise_backward_desc_init(&backwardOperation, algorithm, &data, &data, 0, 0),
      "dnnl_eltwise_backward_desc_init")
    guard let forward = PrimitiveDescriptor(forwardOperation),
      let backward = PrimitiveDescriptor(backwardOperation, hint: forward)
    else { invariantFailure("oneDNN has no \(function) for \(count) elements") }
    return (
      Primitive(forward, [(DNNL_ARG_SRC, data), (DNNL_ARG_DST, data)]),
      Primitive(backward, [(DNNL_ARG_DIFF_DST, data), (DNNL_ARG_DST, data), (DNNL_ARG_DIFF_SRC, data)])
    )
  }
}
