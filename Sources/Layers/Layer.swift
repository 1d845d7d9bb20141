import Tensors

/// A piece of a network: describes, without memory of its own, what is computed.
///
/// A layer adds its operations to the network that is being built. Compositions of layers are layers.
public protocol Layer: Sendable {
  /// Adds this layer's operations and parameters; returns its output.
  ///
  /// - Throws: `LockstepError` if the layer cannot take inputs of x's shape.
  func build(_ x: Value, in network: NetworkBuilder) throws -> Value
}

/// Layers in a row, named "0", "1", ... as in PyTorch's `Sequential`, or by `named(_:)`.
///
///     Sequential {
///       Convolution(32, kernel: 3, padding: 1)
///       BatchNorm()
///       ReLU()
///     }
public struct Sequential: Layer {
  /// The layers, first to last.
  public let layers: [any Layer]

  /// Layers listed one per line; `if` and `for` work.
  public init(@LayerBuilder _ layers: () throws -> [any Layer]) rethrows {
    self.layers = try layers()
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    var x = x
    for (index, layer) in layers.enumerated() {
      let name = (layer as? NamedLayer)?.name ?? "\(index)"
      x = try network.inScope(name) { try layer.build(x, in: network) }
    }
    return x
  }
}

/// A layer with a name of its own in place of its number.
public struct NamedLayer: Layer {
  let name: String
  let layer: any Layer

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    try layer.build(x, in: network)
  }
}

extension Layer {
  /// Gives the layer the name that its parameters bear: `fc` makes `fc.weight` and `fc.bias`.
  public func named(_ name: String) -> NamedLayer { NamedLayer(name: name, layer: self) }
}

/// Collects the layers of a `Sequential`.
@resultBuilder
public enum LayerBuilder {
  public static func buildExpression(_ layer: any Layer) -> [any Layer] { [layer] }
  public static func buildExpression(_ layers: [any Layer]) -> [any Layer] { layers }
  public static func buildBlock(_ parts: [any Layer]...) -> [any Layer] { parts.flatMap { $0 } }
  public static func buildOptional(_ part: [any Layer]?) -> [any Layer] { part ?? [] }
  public static func buildEither(first part: [any Layer]) -> [any Layer] { part }
  public static func buildEither(second part: [any Layer]) -> [any Layer] { part }
  public static func buildArray(_ parts: [[any Layer]]) -> [any Layer] { parts.flatMap { $0 } }
}
