import Foundation
import Kernels
import Tensors

/// How a parameter begins.
public enum Initializer: Sendable, Equatable {
  case constant(Float)
  /// Uniform in [-bound, bound].
  case uniform(bound: Float)
  /// Normal with mean 0.
  case normal(deviation: Float)

  /// PyTorch's default for linear layers and convolutions: uniform, bound 1 / sqrt(fanIn).
  public static func standard(fanIn: Int) -> Initializer { .uniform(bound: 1 / Float(fanIn).squareRoot()) }

  /// He et al. 2015, doi:10.1109/ICCV.2015.123: normal, deviation sqrt(2 / fanOut).
  public static func heNormal(fanOut: Int) -> Initializer { .normal(deviation: (2 / Float(fanOut)).squareRoot()) }

  /// `count` values in plain row-major order, keyed by the seed and the parameter's number.
  package func values(count: Int, seed: UInt64, number: Int) -> [Float] {
    var random = KeyedRandom(seed: seed, .initialization, number)
    return switch self {
    case .constant(let value): Array(repeating: value, count: count)
    case .uniform(let bound): (0..<count).map { _ in random.uniform(-bound...bound) }
    case .normal(let deviation): (0..<count).map { _ in deviation * random.normal() }
    }
  }
}

/// An array that is part of a model: learned, or a running statistic.
///
/// All parameters of a model lie in one flat array per rank, in the layout their kernels want.
package final class Parameter: @unchecked Sendable {  // Written only while a network is compiled, by one thread.
  package enum Role: Sendable, Equatable {
    /// A weight of a linear layer or convolution.
    case weight
    /// A bias of a linear layer or convolution.
    case bias
    /// A normalization's weight or bias.
    case normalization
    /// Batch norm's running mean or variance. The "gradient" is the batch's statistic; PyTorch's `momentum`, or nil for
    /// the cumulative average.
    case runningStatistic(momentum: Float?)
  }

  /// PyTorch's name, such as `layer1.0.conv1.weight`.
  package let name: String
  /// Counts the model's parameters, in the order of definition.
  package let number: Int
  /// The plain, row-major shape.
  package let shape: [Int]
  package let role: Role
  package let initializer: Initializer
  /// How the elements lie in memory.
  package var layout: WeightLayout
  /// Where the elements lie in the flat array.
  @exclusivity(unchecked) package private(set) var range = 0..<0

  init(name: String, number: Int, shape: [Int], role: Role, initializer: Initializer) {
    self.name = name
    self.number = number
    self.shape = shape
    self.role = role
    self.initializer = initializer
    layout = WeightLayout(plain: shape)
  }

  /// Says where in the flat array the elements lie, once the layout is known.
  package func place(at offset: Int) { range = offset..<offset + layout.count }

  /// The first element in the flat array.
  package var offset: Int { range.lowerBound }

  /// The number of elements, without padding.
  package var count: Int { shape.reduce(1, *) }

  package var isLearned: Bool {
    if case .runningStatistic = role { false } else { true }
  }
}
