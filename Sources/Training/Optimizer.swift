import Kernels
import Layers

/// Stochastic gradient descent with momentum; names and semantics of PyTorch's `SGD`.
public struct SGD: Sendable, Equatable {
  public var momentum: Float
  public var weightDecay: Float
  public var nesterov: Bool
  /// Whether weight decay spares biases and the parameters of normalizations.
  public var decaysWeightsOnly: Bool

  public init(
    momentum: Float = 0.9, weightDecay: Float = 0, nesterov: Bool = false, decaysWeightsOnly: Bool = false
  ) {
    self.momentum = momentum
    self.weightDecay = weightDecay
    self.nesterov = nesterov
    self.decaysWeightsOnly = decaysWeightsOnly
  }

  /// Updates a run of a parameter's elements.
  ///
  /// Running statistics are parameters whose gradient is the batch's statistic:
  /// `running = (1 - momentum) * running + momentum * batch`; with no momentum, the average of all batches.
  ///
  /// - Parameters:
  ///   - parameters: the run.
  ///   - updated: where it then is, maybe in the same place.
  ///   - batches: the batches that running statistics have seen, with this one.
  ///   - isShared: whether other workers read the parameters; `SGDUpdate.finish` then ends the update.
  func update(
    _ parameters: UnsafePointer<Float>, into updated: UnsafeMutablePointer<Float>,
    _ gradients: UnsafeBufferPointer<Float>, _ velocities: UnsafeMutablePointer<Float>, _ role: Parameter.Role,
    learningRate: Float, batches: Int, isShared: Bool
  ) {
    switch role {
    case .runningStatistic(let momentum):
      let rate = momentum ?? 1 / Float(batches)
      for i in gradients.indices { updated[i] = (1 - rate) * parameters[i] + rate * gradients[i] }
    case .weight, .bias, .normalization:
      SGDUpdate.apply(
        gradients.baseAddress!, velocity: velocities, parameter: parameters, into: updated, count: gradients.count,
        learningRate: learningRate, momentum: momentum,
        weightDecay: decaysWeightsOnly && role != .weight ? 0 : weightDecay, nesterov: nesterov, isShared: isShared)
    }
  }
}

/// A parameter's place, or a part of it, and its role, apart from the parameter: workers that counted references to the
/// same objects at the same time would wait for each other.
struct UpdatedRange: Sendable {
  let range: Range<Int>
  let role: Parameter.Role

  init(_ parameter: Parameter) { self.init(range: parameter.range, role: parameter.role) }

  private init(range: Range<Int>, role: Parameter.Role) { (self.range, self.role) = (range, role) }

  /// The part in a run of the flat array, if there is one.
  func clamped(to run: Range<Int>) -> UpdatedRange? {
    range.overlaps(run) ? UpdatedRange(range: range.clamped(to: run), role: role) : nil
  }
}
