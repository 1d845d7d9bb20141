import Layers
import Tensors

/// What a model of the zoo is made for, and the choices all of them offer.
public struct ModelOptions: Sendable {
  /// One sample of the data set.
  public var input: SampleShape
  public var classCount: Int
  /// The statistics of every batch norm; nil leaves batch norm out.
  public var batchNorm: Statistics?
  /// The probability of dropout: after each hidden layer of a perceptron, before the classifier of the other models.
  public var dropout: Float

  public init(input: SampleShape, classCount: Int, batchNorm: Statistics? = .sync, dropout: Float = 0) {
    self.input = input
    self.classCount = classCount
    self.batchNorm = batchNorm
    self.dropout = dropout
  }

  /// A batch norm, if models are to have them.
  @LayerBuilder var norm: [any Layer] {
    if let batchNorm { BatchNorm(statistics: batchNorm) }
  }

  /// A named batch norm, if models are to have them.
  func norm(_ name: String) -> [any Layer] { norm.map { $0.named(name) } }

  /// A convolution has no bias where a batch norm would take it away again.
  var convolutionBias: Bool { batchNorm == nil }
}
