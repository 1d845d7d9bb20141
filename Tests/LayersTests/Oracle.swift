import Foundation
import Layers
import Support
import Tensors

/// One of PyTorch's results in `Oracles`, computed in float64.
struct Oracle {
  let name: String
  private let file: Safetensors

  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Oracles")

  /// The files of layers.
  static let names: [String] = {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return files.filter { $0.hasSuffix(".safetensors") && $0 != "moments.safetensors" }
      .map { String($0.dropLast(".safetensors".count)) }.sorted()
  }()

  init(_ name: String) throws {
    self.name = name
    file = try Safetensors(contentsOf: Self.folder.appending(path: "\(name).safetensors").path)
  }

  func floats(_ name: String) -> [Float] { file[name]!.floats }

  func float64s(_ name: String) -> [Double] {
    file[name]!.data.withUnsafeBytes { bytes in
      (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }

  /// The tensors "<kind>.<name>" by name.
  func floats(of kind: String) -> [String: [Float]] {
    let names = file.names.filter { $0.hasPrefix(kind + ".") && file[$0]!.type == .float32 && $0 != "x.first" }
    return Dictionary(uniqueKeysWithValues: names.map { (String($0.dropFirst(kind.count + 1)), floats($0)) })
  }

  var shape: [Int] { file["x"]!.shape }

  /// Whether the layer takes the batch's statistics, if it takes any.
  var isTraining: Bool { file.metadata["training"] != "false" }

  private func int(_ key: String) -> Int { Int(file.metadata[key]!)! }
  private func bool(_ key: String) -> Bool { file.metadata[key]! == "true" }

  /// Our layer with the oracle's settings, on its data.
  func run() throws -> LayerRun {
    let input =
      shape.count == 2
      ? SampleShape.features(shape[1]) : SampleShape(channels: shape[1], height: shape[2], width: shape[3])
    let labels = file["labels"]?.int64s.map { Int32($0) }
    var run = try LayerRun(input, samples: shape[0], labels: labels, layer())
    run.batches = (file["x.first"].map { [$0.floats] } ?? []) + [floats("x")]
    if labels == nil { run.w = floats("w") }
    run.labelSmoothing = file.metadata["labelSmoothing"].map { Float($0)! } ?? 0
    run.values = floats(of: "parameter").merging(floats(of: "before"), uniquingKeysWith: { $1 })
    return run
  }

  private func layer() throws -> any Layer {
    let layer = file.metadata["layer"]!
    switch layer {
    case "Linear": return Linear(int("outputs"), bias: bool("bias"))
    case "Conv2d":
      return Convolution(
        int("outputs"), kernel: int("kernel"), stride: int("stride"), padding: int("padding"),
        dilation: int("dilation"), groups: int("groups"), bias: bool("bias"))
    case "BatchNorm1d", "BatchNorm2d":
      return BatchNorm(
        epsilon: Float(file.metadata["epsilon"]!)!, momentum: Float(file.metadata["momentum"]!), affine: bool("affine"),
        statistics: isTraining ? .sync : .frozen)
    case "GroupNorm":
      return GroupNorm(int("groups"), epsilon: Float(file.metadata["epsilon"]!)!, affine: bool("affine"))
    case "LayerNorm": return LayerNorm(epsilon: Float(file.metadata["epsilon"]!)!, affine: bool("affine"))
    case "ReLU": return ReLU()
    case "Sigmoid": return Sigmoid()
    case "Tanh": return Tanh()
    case "MaxPool2d": return MaxPooling(int("kernel"), stride: int("stride"), padding: int("padding"))
    case "AvgPool2d":
      return AveragePooling(
        int("kernel"), stride: int("stride"), padding: int("padding"), countsPadding: bool("countIncludePad"))
    case "AdaptiveAvgPool2d": return GlobalAveragePooling()
    case "Flatten": return Flatten()
    case "CrossEntropyLoss": return Sequential {}
    case "BasicBlock": return basicBlock()
    default: throw LockstepError("\(name): what is a \(layer)?")
    }
  }

  private func basicBlock() -> Residual {
    let (width, stride) = (int("outputs"), int("stride"))
    return Residual(
      shortcut: Sequential {
        Convolution(width, kernel: 1, stride: stride, bias: false)
        BatchNorm()
      }
    ) {
      Convolution(width, kernel: 3, stride: stride, padding: 1, bias: false).named("conv1")
      BatchNorm().named("bn1")
      ReLU().named("relu")
      Convolution(width, kernel: 3, padding: 1, bias: false).named("conv2")
      BatchNorm().named("bn2")
    }
  }
}
