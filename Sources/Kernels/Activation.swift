import CKernels

/// An elementwise function and its derivative in terms of its result. NaN stays NaN, so that a diverged run shows in the loss.
package enum Activation: Sendable {
  /// max(x, 0)
  case relu
  /// 1 / (1 + exp(-x))
  case sigmoid
  case tanh

  /// y = f(x), for `count` elements. y may be x.
  package func forward(_ x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, count: Int) {
    activation_forward(Int32(InstructionSet.channelBlock), inC, x, y, count)
  }

  /// dx = dy * f'(x), from y alone, for `count` elements. dx may be dy.
  package func backward(
    _ dy: UnsafePointer<Float>, y: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, count: Int
  ) {
    activation_backward(Int32(InstructionSet.channelBlock), inC, dy, y, dx, count)
  }

  /// What the kernels call it.
  var inC: activation_function {
    switch self {
    case .relu: RELU
    case .sigmoid: SIGMOID
    case .tanh: TANH
    }
  }
}

extension Activation? {
  var inC: activation_function { self?.inC ?? NO_FUNCTION }
}
