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

  /// Updates a run of the flat parameter array.
  ///
  /// Running statistics are parameters whose gradient is the batch's statistic:
  /// `running = (1 - momentum) * running + momentum * batch`; with no momentum, the average of all batches.
  ///
  /// - Parameters:
  ///   - parameters: the parameters.
  ///   - updated: where they then are, maybe in the same place.
  ///   - offset: the run's place in the flat array.
  ///   - layout: the parameters' places, in order.
  ///   - batches: the batches that running statistics have seen, with this one.
  ///   - isShared: whether other workers read the parameters; `SGDUpdate.finish` then ends the update.
  func update(
    _ parameters: UnsafePointer<Float>, into updated: UnsafeMutablePointer<Float>,
    _ gradients: UnsafeBufferPointer<Float>, _ velocities: UnsafeMutablePointer<Float>, at offset: Int,
    _ layout: [UpdatedRange], learningRate: Float,
    batches: Int, isShared: Bool
  ) {
    let run = offset..<offset + gradients.count
    var index = layout.partitioningIndex { $0.range.upperBound > run.lowerBound }
    while index < layout.count, layout[index].range.lowerBound < run.upperBound {
      let (range, role) = (layout[index].range, layout[index].role)
      index += 1
      let part = range.clamped(to: run)
      let gradient = gradients.baseAddress! + (part.lowerBound - offset)
      switch role {
      case .runningStatistic(let momentum):
        let rate = momentum ?? 1 / Float(batches)
        for i in 0..<part.count {
          let at = part.lowerBound + i
          updated[at] = (1 - rate) * parameters[at] + rate * gradient[i]
        }
      case .weight, .bias, .normalization:
        SGDUpdate.apply(
          gradient, velocity: velocities + (part.lowerBound - offset), parameter: parameters + part.lowerBound,
          into: updated + part.lowerBound, count: part.count, learningRate: learningRate, momentum: momentum,
          weightDecay: decaysWeightsOnly && role != .weight ? 0 : weightDecay, nesterov: nesterov, isShared: isShared)
      }
    }
  }
}

/// A parameter's place and role, apart from the parameter: workers that counted references to the same objects at the
/// same time would wait for each other.
struct UpdatedRange: Sendable {
  let range: Range<Int>
  let role: Parameter.Role

  init(_ parameter: Parameter) {
    range = parameter.range
    role = parameter.role
  }
}

extension Array {
  /// The first index whose element, and every later one's, satisfies the predicate.
  func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
    var (low, high) = (startIndex, endIndex)
    while low < high {
      let middle = (low + high) / 2
      if predicate(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
