import CKernels
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

/// A pass backward by the weight that can add gradients up before they leave the cache.
protocol SummingPass: ConvolutionPass {
  /// Whether it makes gradients of several summands, of so many samples in all, at once.
  func addsUp(samples: Int) -> Bool

  /// The gradients of weight and bias over summands that it `addsUp`.
  func backwardWeights(
    _ x: Stored, _ dy: Stored, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, adds: Bool,
    summands: UnsafeBufferPointer<Summand>, _ context: KernelContext)
}

/// Samples whose part of a gradient is made apart.
package struct Summand: Sendable {
  package let samples: Range<Int>
  /// How often then the last of the sums that there are is added to the one before it.
  package let merges: Int

  package init(_ samples: Range<Int>, merges: Int) {
    (self.samples, self.merges) = (samples, merges)
  }

  /// The most that a kernel adds up.
  package static var most: Int { Int(MOST_SUMMANDS) }
  /// The most sums that a kernel keeps at once.
  package static var mostSums: Int { Int(MOST_SUMS) }
}

package enum ConvolutionPassKind: Sendable, CaseIterable {
  case forward
  case backwardData
  case backwardWeights
}
