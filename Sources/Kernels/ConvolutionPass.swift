import COneDNN
import Tensors

/// One of a convolution's passes: forward, or the gradient of its input or of its weight.
protocol ConvolutionPass: Sendable {
  /// The layout of the weight, or of its gradient.
  var weight: dnnl_memory_desc_t { get }

  /// Whether it also reads and writes activations and gradients of them as 16-bit numbers.
  var takesHalves: Bool { get }

  /// Whether a sample's bits do not depend on how many are computed with it.
  var takesAnyCount: Bool { get }

  /// The name of what computes so many samples.
  func implementation(samples: Int) -> String

  /// Reads what the pass reads of x, weight, y and bias, or of their gradients, and overwrites the rest.
  ///
  /// - Parameter adds: whether gradients of weight and bias are added to what is there instead.
  func run(
    x: Stored, weight: UnsafePointer<Float>, y: Stored, bias: UnsafePointer<Float>?,
    adds: Bool, samples: Int, _ context: KernelContext)
}

extension ConvolutionPass {
  var takesHalves: Bool { false }
}

package enum ConvolutionPassKind: Sendable, CaseIterable {
  case forward
  case backwardData
  case backwardWeights
}
