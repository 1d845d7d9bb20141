import Foundation

/// How the learning rate changes in the course of training.
public struct Schedule: Sendable, Equatable, CustomStringConvertible {
  /// The shape after the warm-up.
  public enum Shape: Sendable, Equatable {
    case constant
    /// Multiplied by `factor` when each of the epochs begins; epochs count from 0.
    case step(epochs: [Int], factor: Float)
    /// Half a cosine from the learning rate to 0: Loshchilov, Hutter 2017, arXiv:1608.03983, without restarts.
    case cosine
  }

  public var shape: Shape
  /// Epochs in which the rate rises linearly from near 0: Goyal et al. 2017, arXiv:1706.02677, section 2.2.
  public var warmupEpochs: Double

  public init(_ shape: Shape = .constant, warmupEpochs: Double = 0) {
    self.shape = shape
    self.warmupEpochs = warmupEpochs
  }

  /// The factor of the learning rate in an optimizer step.
  ///
  /// - Parameters:
  ///   - step: counts from 0 through all epochs.
  ///   - totalSteps: where the cosine ends.
  public func factor(step: Int, stepsPerEpoch: Int, totalSteps: Int) -> Float {
    let warmup = warmupEpochs * Double(stepsPerEpoch)
    if Double(step) < warmup { return Float(Double(step + 1) / warmup.rounded(.up)) }
    switch shape {
    case .constant:
      return 1
    case .step(let epochs, let factor):
      let passed = epochs.count { step / stepsPerEpoch >= $0 }
      return (0..<passed).reduce(1) { product, _ in product * factor }
    case .cosine:
      let progress = (Double(step) - warmup) / max(1, Double(totalSteps) - warmup)
      return Float(0.5 * (1 + cos(Double.pi * progress)))
    }
  }

  /// As the command line takes it: `constant`, `step:30,60` or `step:30,60:0.2`, `cosine`.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    switch (parts.first, parts.count) {
    case ("constant", 1): self.init(.constant)
    case ("cosine", 1): self.init(.cosine)
    case ("step", 2...3):
      let epochs = parts[1].split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
      guard let factor = parts.count == 3 ? Float(parts[2]) : 0.1, factor > 0, epochs.allSatisfy({ ($0 ?? 0) > 0 })
      else { return nil }
      self.init(.step(epochs: epochs.compactMap(\.self), factor: factor))
    default: return nil
    }
  }

  public var description: String {
    let name =
      switch shape {
      case .constant: "constant"
      case .step(let epochs, let factor): "step:\(epochs.map(String.init).joined(separator: ",")):\(factor)"
      case .cosine: "cosine"
      }
    return warmupEpochs > 0 ? "\(name) after \(warmupEpochs) epochs of warm-up" : name
  }
}
