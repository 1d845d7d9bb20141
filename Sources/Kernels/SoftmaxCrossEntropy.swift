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
    for row in 0..<rows {
      let x = x + row * stride
      let label = Int(labels[row])
      var best = 0
      var logitSum = 0.0
      for k in 0..<classes {
        if x[k] > x[best] { best = k }
        logitSum += Double(x[k])
      }
      let largest = x[best]
      let dx = dx.map { $0 + row * stride }
      var sum = 0.0
      for k in 0..<classes {
        let numerator = exp(x[k] - largest)
        sum += Double(numerator)
        dx?[k] = numerator
      }
      let logSum = log(sum) + Double(largest)
      let smooth = Double(smoothing)
      loss += logSum - (1 - smooth) * Double(x[label]) - smooth / Double(classes) * logitSum
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
