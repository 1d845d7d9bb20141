import Layers
import Tensors

/// What a model of the zoo is made for, and the choices all of them offer.
public struct ModelOptions: Sendable {
  /// What a model's convolutions and hidden layers are followed by.
  public enum Normalization: Hashable, Sendable {
    /// Batch norm, its statistics taken over those samples.
    case batch(Statistics)
    /// Sync batch norm, and noise behind it that undoes what it controls.
    case noisyBatch
    /// Group norm of `groups(of:)` groups.
    case group
    case layer
    case none

    /// Of the divisors of the channels, the largest that is at most 32 and leaves a group four channels: 4 groups of 16
    /// channels, 16 of 64, 32 of 128.
    ///
    /// Wu, He 2018, doi:10.1007/978-3-030-01261-8_1, section 3.2, take 32 groups, of 64 channels and more.
    public static func groups(of channels: Int) -> Int {
      (1...max(1, min(32, channels / 4))).last { channels % $0 == 0 } ?? 1
    }
  }

  /// One sample of the data set.
  public var input: SampleShape
  public var classCount: Int
  public var normalization: Normalization
  /// The probability of dropout: after each hidden layer of a perceptron, before the classifier of the other models.
  public var dropout: Float

  public init(
    input: SampleShape, classCount: Int, normalization: Normalization = .batch(.sync), dropout: Float = 0
  ) {
    self.input = input
    self.classCount = classCount
    self.normalization = normalization
    self.dropout = dropout
  }

  /// What normalizes that many channels, if anything does.
  @LayerBuilder func norm(_ channels: Int) -> [any Layer] {
    switch normalization {
    case .batch(let statistics): BatchNorm(statistics: statistics)
    case .noisyBatch:
      BatchNorm()
      ActivationNoise()
    case .group: GroupNorm(Normalization.groups(of: channels))
    case .layer: LayerNorm()
    case .none: []
    }
  }

  /// The same with a name.
  func norm(_ name: String, _ channels: Int) -> [any Layer] { norm(channels).map { $0.named(name) } }

  /// A convolution has no bias where a batch norm would take it away again, nor before the other normalizations, which
  /// have one of their own.
  var convolutionBias: Bool { normalization == .none }
}
