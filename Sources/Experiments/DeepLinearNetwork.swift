import Tensors

/// A deep network without nonlinearities, with batch norm or without, trained on all samples at once, in Double.
///
///     y = W_n ... W_1 x,   L = sum |y - A x|^2,   x ~ N(0, 1), A of N(0, 1), all of `width` dimensions
///
/// With batch norm each product but the last is normalized over the samples: z = weight * xhat + bias.
/// Source: Santurkar et al. 2018, arXiv:1805.11604, section 2.2 and appendix A: 25 layers of width 10.
package struct DeepLinearNetwork {
  let hasBatchNorm: Bool
  package let width: Int
  /// By layer, [width, width], from that of the input.
  package var weights: [[Double]]
  /// By layer but the last.
  package var scales: [[Double]]
  package var shifts: [[Double]]
  /// [samples, width]
  private let x: [Double]
  private let target: [Double]
  private let samples: Int

  private static let epsilon = 1e-5

  package struct Gradient {
    package var loss: Double
    package var weights: [[Double]]
    package var scales: [[Double]]
    package var shifts: [[Double]]
  }

  /// - Parameters:
  ///   - width: the dimensions of all layers.
  ///   - seed: the key of data and weights; the same with batch norm as without.
  package init(layers: Int, width: Int, samples: Int, hasBatchNorm: Bool, seed: UInt64) {
    self.hasBatchNorm = hasBatchNorm
    self.width = width
    self.samples = samples
    func normal(_ count: Int, _ number: Int) -> [Double] {
      var random = KeyedRandom(seed: seed, .data, number)
      return (0..<count).map { _ in Double(random.normal()) }
    }
    x = normal(samples * width, 0)
    let matrix = normal(width * width, 1)
    target = Self.product(x, matrix, rows: samples, width)
    // Glorot, Bengio 2010: uniform, variance 2 / (inputs + outputs).
    let bound = (3 / Double(width)).squareRoot()
    weights = (0..<layers).map { layer in
      var random = KeyedRandom(seed: seed, .initialization, layer)
      return (0..<width * width).map { _ in bound * (2 * Double(random.uniform()) - 1) }
    }
    scales = Array(repeating: Array(repeating: 1, count: width), count: layers - 1)
    shifts = Array(repeating: Array(repeating: 0, count: width), count: layers - 1)
  }

  /// y = x W^T
  private static func product(_ x: [Double], _ matrix: [Double], rows: Int, _ width: Int) -> [Double] {
    var y = [Double](repeating: 0, count: rows * width)
    x.withUnsafeBufferPointer { x in
      matrix.withUnsafeBufferPointer { matrix in
        y.withUnsafeMutableBufferPointer { y in
          for row in 0..<rows {
            for k in 0..<width {
              var sum = 0.0
              for c in 0..<width { sum += x[row * width + c] * matrix[k * width + c] }
              y[row * width + k] = sum
            }
          }
        }
      }
    }
    return y
  }

  /// A normalized layer: xhat, and rstd per dimension.
  private struct Normalized {
    var xhat: [Double]
    var rstd: [Double]
  }

  private func normalized(_ x: [Double]) -> Normalized {
    var result = Normalized(xhat: x, rstd: Array(repeating: 0, count: width))
    let n = Double(samples)
    for c in 0..<width {
      var (sum, squaredSum) = (0.0, 0.0)
      for row in 0..<samples { sum += x[row * width + c] }
      let mean = sum / n
      for row in 0..<samples {
        let centred = x[row * width + c] - mean
        squaredSum += centred * centred
      }
      result.rstd[c] = 1 / (squaredSum / n + Self.epsilon).squareRoot()
      for row in 0..<samples { result.xhat[row * width + c] = (x[row * width + c] - mean) * result.rstd[c] }
    }
    return result
  }

  /// The loss and its gradient by all parameters.
  package func gradient() -> Gradient {
    var inputs: [[Double]] = [x]
    var norms: [Normalized] = []
    for layer in weights.indices {
      var y = Self.product(inputs[layer], weights[layer], rows: samples, width)
      if hasBatchNorm, layer < weights.count - 1 {
        let norm = normalized(y)
        for i in y.indices { y[i] = scales[layer][i % width] * norm.xhat[i] + shifts[layer][i % width] }
        norms.append(norm)
      }
      inputs.append(y)
    }
    let errors = zip(inputs.last!, target).map { $0 - $1 }
    let zeros = scales.map { $0.map { _ in 0.0 } }
    var gradient = Gradient(
      loss: errors.reduce(0) { $0 + $1 * $1 }, weights: weights, scales: zeros, shifts: zeros)
    var dy = errors.map { 2 * $0 }
    for layer in weights.indices.reversed() {
      if hasBatchNorm, layer < weights.count - 1 {
        differentiate(&dy, norms[layer], scales[layer], &gradient.scales[layer], &gradient.shifts[layer])
      }
      gradient.weights[layer] = weightGradient(dy, inputs[layer])
      dy = Self.product(dy, transposed(weights[layer]), rows: samples, width)
    }
    return gradient
  }

  /// dx = weight * rstd * (dy - mean(dy) - xhat * mean(dy * xhat)), in place
  private func differentiate(
    _ dy: inout [Double], _ norm: Normalized, _ scale: [Double], _ dScale: inout [Double], _ dShift: inout [Double]
  ) {
    let n = Double(samples)
    for c in 0..<width {
      var (sum, product) = (0.0, 0.0)
      for row in 0..<samples {
        sum += dy[row * width + c]
        product += dy[row * width + c] * norm.xhat[row * width + c]
      }
      (dShift[c], dScale[c]) = (sum, product)
      for i in stride(from: c, to: samples * width, by: width) {
        dy[i] = scale[c] * norm.rstd[c] * (dy[i] - sum / n - norm.xhat[i] * product / n)
      }
    }
  }

  /// dW = dy^T x
  private func weightGradient(_ dy: [Double], _ x: [Double]) -> [Double] {
    var sum = [Double](repeating: 0, count: width * width)
    dy.withUnsafeBufferPointer { dy in
      x.withUnsafeBufferPointer { x in
        sum.withUnsafeMutableBufferPointer { sum in
          for row in 0..<samples {
            for k in 0..<width {
              let dy = dy[row * width + k]
              for c in 0..<width { sum[k * width + c] += dy * x[row * width + c] }
            }
          }
        }
      }
    }
    return sum
  }

  private func transposed(_ matrix: [Double]) -> [Double] {
    (0..<width * width).map { matrix[$0 % width * width + $0 / width] }
  }

  /// Takes a step of gradient descent with the first layers only, or with all.
  package func stepped(_ gradient: Gradient, learningRate: Double, layers: Int) -> DeepLinearNetwork {
    var next = self
    func step(_ values: inout [Double], _ gradient: [Double]) {
      for i in values.indices { values[i] -= learningRate * gradient[i] }
    }
    for layer in 0..<layers {
      step(&next.weights[layer], gradient.weights[layer])
      if layer < scales.count {
        step(&next.scales[layer], gradient.scales[layer])
        step(&next.shifts[layer], gradient.shifts[layer])
      }
    }
    return next
  }
}
