/// Stochastic gradient descent's elementwise update, as PyTorch's `SGD`:
///
///     g = gradient + weightDecay * p,   v = momentum * v + g,   p -= learningRate * (nesterov ? g + momentum * v : v)
package enum SGDUpdate {
  package static func apply(
    _ gradient: UnsafePointer<Float>, velocity: UnsafeMutablePointer<Float>, parameter: UnsafeMutablePointer<Float>,
    count: Int, learningRate: Float, momentum: Float, weightDecay: Float, nesterov: Bool
  ) {
    for i in 0..<count {
      let g = gradient[i] + weightDecay * parameter[i]
      let v = momentum * velocity[i] + g
      velocity[i] = v
      parameter[i] -= learningRate * (nesterov ? g + momentum * v : v)
    }
  }
}
