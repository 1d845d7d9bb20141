import CKernels

/// Stochastic gradient descent's elementwise update, as PyTorch's `SGD`:
///
///     g = gradient + weightDecay * p,   v = momentum * v + g,   p -= learningRate * (nesterov ? g + momentum * v : v)
package enum SGDUpdate {
  package static func apply(
    _ gradient: UnsafePointer<Float>, velocity: UnsafeMutablePointer<Float>, parameter: UnsafePointer<Float>,
    into updated: UnsafeMutablePointer<Float>, count: Int, learningRate: Float, momentum: Float, weightDecay: Float,
    nesterov: Bool, isShared: Bool
  ) {
    var settings = sgd_settings(
      learning_rate: learningRate, momentum: momentum, weight_decay: weightDecay, nesterov: nesterov ? 1 : 0,
      is_shared: isShared ? 1 : 0)
    sgd_update(Int32(InstructionSet.channelBlock), &settings, gradient, velocity, parameter, updated, count)
  }

  /// Ends an update of shared parameters, before others are told of it.
  package static func finish() { sgd_finish() }
}
