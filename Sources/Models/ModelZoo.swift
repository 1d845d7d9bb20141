import Layers
import Tensors

/// The models that have a name.
public enum ModelZoo {
  /// The names, as `model(_:_:)` takes them.
  public static let names = ["mlp", "mlp:A,B,...", "vgg11", "vgg16", "resnet20", "resnet56", "resnet18", "resnet50"]

  /// The model of that name.
  ///
  /// - Throws: `LockstepError` if there is none, or if it does not fit the input.
  public static func model(_ name: String, _ options: ModelOptions) throws -> Sequential {
    switch name {
    case "mlp": return Perceptron.ioffeSzegedy(options)
    case "vgg11": return try VGG.vgg11(options)
    case "vgg16": return try VGG.vgg16(options)
    case "resnet20": return ResNet.cifar(depth: 20, options)
    case "resnet56": return ResNet.cifar(depth: 56, options)
    case "resnet18": return ResNet.resnet18(options)
    case "resnet50": return ResNet.resnet50(options)
    default: break
    }
    if name.hasPrefix("mlp:") {
      let widths = name.dropFirst(4).split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
      // A layer wider than a million is a slip of the finger.
      guard widths.allSatisfy((1...1 << 20).contains) else {
        throw LockstepError("the model \(name) needs widths from 1 to \(1 << 20), as in mlp:256,128")
      }
      return Perceptron.relu(widths, options)
    }
    throw LockstepError("there is no model \(name); there are \(names.joined(separator: ", "))")
  }
}
