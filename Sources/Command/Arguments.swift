import ArgumentParser
import Datasets
import Layers
import Models
import Tensors
import Training

/// What the models normalize with.
enum NormChoice: String, CaseIterable, ExpressibleByArgument {
  case batch, group, layer, none
}

/// Which statistics the models' batch norms take.
struct BatchNormChoice: ExpressibleByArgument, CustomStringConvertible {
  let statistics: Statistics

  init?(argument: String) {
    switch argument {
    case "sync": statistics = .sync
    case "local": statistics = .local
    default:
      guard argument.hasPrefix("ghost:"), let count = Int(argument.dropFirst(6)), count > 0 else { return nil }
      statistics = .ghost(count)
    }
  }

  init(_ statistics: Statistics) {
    self.statistics = statistics
  }

  var description: String { statistics.description }
  var defaultValueDescription: String { description }
}

extension Precision: ExpressibleByArgument {}

extension Schedule: ExpressibleByArgument {
  /// As `--schedule` takes it.
  public init?(argument: String) { self.init(argument) }
}

/// C,H,W.
struct ShapeChoice: ExpressibleByArgument, CustomStringConvertible {
  let shape: SampleShape

  init(_ shape: SampleShape) {
    self.shape = shape
  }

  init?(argument: String) {
    let extents = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    // A sample larger than a gigabyte is a slip of the finger.
    guard extents.count == 3, extents.allSatisfy((1...65_536).contains), extents.reduce(1, *) <= 1 << 28 else {
      return nil
    }
    shape = SampleShape(channels: extents[0], height: extents[1], width: extents[2])
  }

  var description: String { "\(shape.channels),\(shape.height),\(shape.width)" }
}

struct DataArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The data: glyphs (digits drawn by the program), random, mnist, fashion-mnist, cifar10, cifar100, or tensors.",
      valueName: "name"))
  var dataset = "glyphs"

  @Option(
    help: ArgumentHelp(
      "The folder with the data set's files, as published; for tensors, a safetensors file with x [N,C,H,W] or [N,F], y [N] int64 and, if you like, x_test and y_test.",
      valueName: "path"))
  var data: String?

  @Option(help: ArgumentHelp("The shape of a sample of the random data.", valueName: "C,H,W"))
  var shape: ShapeChoice?

  @Option(help: ArgumentHelp("The number of classes of the random data, or of tensors.", valueName: "count"))
  var classes: Int?

  func load(seed: UInt64) throws -> Dataset {
    try Dataset.load(dataset, path: data, shape: shape?.shape, classCount: classes, seed: seed)
  }

  var options: [(name: String, value: String)] {
    [
      ("dataset", dataset), ("data", data ?? "unset"), ("shape", shape.map { "\($0)" } ?? "unset"),
      ("classes", classes.map { "\($0)" } ?? "unset"),
    ]
  }
}

/// What activations and weights are rounded to, wherever a network is computed.
struct PrecisionArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "fp32, or bf16: convolutions and linear layers of bf16 activations and weights, summed in fp32; activations are kept in bf16, parameters and the optimizer's state in fp32. That saves memory on every processor. Where it has AMX, convolutions take half the time or less; elsewhere their products run as fp32 instructions, which are exact for bf16 numbers.",
      valueName: "fp32|bf16"))
  var precision = Precision.float32

  var options: [(name: String, value: String)] { [("precision", precision.rawValue)] }
}

struct ModelArguments: ParsableArguments {
  @Option(help: ArgumentHelp("The network: \(ModelZoo.names.joined(separator: ", ")).", valueName: "name"))
  var model = "resnet20"

  @Option(
    help: ArgumentHelp(
      "What normalizes: batch norm; group norm, of at most 32 groups; layer norm; or nothing.",
      valueName: "batch|group|layer|none"))
  var norm = NormChoice.batch

  @Option(
    help: ArgumentHelp(
      "Batch norm's statistics: over the global batch (sync), each worker's samples (local), or N consecutive samples (ghost:N).",
      valueName: "sync|local|ghost:N"))
  var batchNorm = BatchNormChoice(.sync)

  @Option(help: ArgumentHelp("The probability of dropout.", valueName: "p"))
  var dropout: Float = 0

  var options: [(name: String, value: String)] {
    [("model", model), ("norm", norm.rawValue), ("batch-norm", "\(batchNorm)"), ("dropout", "\(dropout)")]
  }

  /// The network in a few words.
  var subject: String {
    switch norm {
    case .batch: "\(model) with \(batchNorm) batch norm"
    case .group, .layer: "\(model) with \(norm) norm"
    case .none: "\(model) without normalization"
    }
  }

  private var normalization: ModelOptions.Normalization {
    switch norm {
    case .batch: .batch(batchNorm.statistics)
    case .group: .group
    case .layer: .layer
    case .none: .none
    }
  }

  func make(for data: Dataset) throws -> Sequential { try make(input: data.shape, classCount: data.classCount) }

  func make(input: SampleShape, classCount: Int) throws -> Sequential {
    try ModelZoo.model(
      model, ModelOptions(input: input, classCount: classCount, normalization: normalization, dropout: dropout))
  }
}
