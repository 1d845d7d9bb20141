import Kernels
import Tensors

/// An activation of a network, of every sample of a batch.
public struct Value: Hashable, Sendable {
  package let number: Int
  /// One sample's shape.
  public let shape: SampleShape
  /// Channels per block in memory; 1 is plain NCHW.
  package let block: Int

  package var layout: ActivationLayout { ActivationLayout(shape: shape, block: block) }
}

/// Takes down the operations and parameters of a network while its layers describe themselves.
public final class NetworkBuilder {
  private var scope: [String] = []
  private var valueCount = 0
  package private(set) var operations: [any Operation] = []
  package private(set) var parameters: [Parameter] = []
  /// Values that live in another value's memory.
  package private(set) var aliases: [Int: Int] = [:]

  package init() {}

  /// The current layer's name: "layer1.0.conv1".
  public var path: String { scope.joined(separator: ".") }

  /// Runs `body` inside a name; an empty one changes nothing.
  public func inScope<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
    if name.isEmpty { return try body() }
    scope.append(name)
    defer { scope.removeLast() }
    return try body()
  }

  /// An activation that lies in memory in blocks of channels.
  package func value(_ shape: SampleShape) -> Value { value(shape, block: InstructionSet.channelBlock) }

  package func value(_ shape: SampleShape, block: Int) -> Value {
    defer { valueCount += 1 }
    return Value(number: valueCount, shape: shape, block: block)
  }

  /// A value in the memory of another one, with a gradient of its own.
  package func alias(of original: Value) -> Value {
    let alias = value(original.shape, block: original.block)
    aliases[alias.number] = original.number
    return alias
  }

  /// The same activation in blocks of channels, which most kernels want.
  package func blocked(_ x: Value) -> Value {
    if x.block > 1 { return x }
    let y = value(x.shape)
    append(Relayout(path, x, y))
    return y
  }

  /// A parameter of the current layer.
  package func parameter(
    _ name: String, _ shape: [Int], _ role: Parameter.Role, _ initializer: Initializer
  ) -> Parameter {
    let parameter = Parameter(
      name: (scope + [name]).joined(separator: "."), number: parameters.count, shape: shape, role: role,
      initializer: initializer)
    parameters.append(parameter)
    return parameter
  }

  /// The weight and bias of the channels of what a layer normalizes, which begin as 1 and 0.
  package func affineParameters(_ layout: ActivationLayout) -> (weight: Parameter, bias: Parameter) {
    let shape = [layout.shape.channels]
    let parameters = (
      weight: parameter("weight", shape, .normalization, .constant(1)),
      bias: parameter("bias", shape, .normalization, .constant(0))
    )
    for parameter in [parameters.weight, parameters.bias] {
      parameter.layout = WeightLayout(plain: shape, paddedCount: layout.paddedChannels)
    }
    return parameters
  }

  /// Adds an operation and returns its output.
  @discardableResult
  package func append(_ operation: any Operation) -> Value {
    operations.append(operation)
    return operation.output
  }

  /// An error about the current layer.
  package func error(_ text: String) -> LockstepError {
    LockstepError(path.isEmpty ? text : "layer \(path): \(text)")
  }
}
