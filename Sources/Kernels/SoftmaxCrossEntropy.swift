import CKernels
import Foundation
import Tensors

/// Softmax cross-entropy with label smoothing, on rows of logits.
///
///     loss = -sum_k q_k log softmax(x)_k,   q = (1 - s) one-hot(label) + s / K,   dx = (softmax(x) - q) * scale
///
/// Sources: Szegedy et al. 2016, doi:10.1109/CVPR.2016.308, section 7 (smoothing); PyTorch's `CrossEntropyLoss`.
package enum SoftmaxCrossEntropy {
  /// - Parameters:
  ///   - x: logits, `rows` rows of `classes`, `stride` apart.
  ///   - scale: 1 / the number of samples of the global batch.
  ///   - dx: other memory than x; nil if only the loss is wanted. Elements from `classes` to `stride` become 0.
  /// - Returns: the sum of the rows' losses, and how many rows have their largest logit at the label.
  package static func lossAndGradient(
    _ x: UnsafePointer<Float>, labels: UnsafePointer<Int32>, rows: Int, classes: Int, stride: Int, smoothing: Float,
    scale: Float, dx: UnsafeMutablePointer<Float>?
  ) -> (loss: Double, correct: Int) {
    var loss = 0.0
    var correct = 0
    let smooth = Double(smoothing)
    for row in 0..<rows {
      let x = x + row * stride
      let label = Int(labels[row])
      let dx = dx.map { $0 + row * stride }
      let best = (1..<classes).reduce(0) { x[$1] > x[$0] ? $1 : $0 }
      let sum = exponentials(Int32(InstructionSet.channelBlock), x, x[best], dx, classes)
      let logSum = log(sum) + Double(x[best])
      loss += logSum - (1 - smooth) * Double(x[label])
      if smooth > 0 { loss -= smooth / Double(classes) * (0..<classes).reduce(0) { $0 + Double(x[$1]) } }
      correct += best == label ? 1 : 0
      guard let dx else { continue }
      let inverse = Float(1 / sum)
      let rest = smoothing / Float(classes)
      for k in 0..<classes { dx[k] = (dx[k] * inverse - rest) * scale }
      dx[label] -= (1 - smoothing) * scale
      for k in classes..<stride { dx[k] = 0 }
    }
    return (loss, correct)
  }
}
