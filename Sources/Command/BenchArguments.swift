import ArgumentParser
import Datasets
import Tensors
import Training

/// A model, and the noise on which it is measured or laid out.
struct BenchArguments: ParsableArguments {
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(help: ArgumentHelp("The shape of a sample.", valueName: "C,H,W"))
  var shape = ShapeChoice(SampleShape(channels: 3, height: 32, width: 32))

  @Option(help: ArgumentHelp("The number of classes.", valueName: "count"))
  var classes = 10

  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Shards of a batch. (default: as in training)", valueName: "count"))
  var shards: Int?

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @OptionGroup var precisionArguments: PrecisionArguments

  func validate() throws {
    // More noise than memory holds is a slip of the finger.
    if batchSize > 1 << 20 { throw ValidationError("--batch-size takes at most \(1 << 20) samples.") }
  }

  func options(_ job: Job) -> TrainingOptions {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.shards = shards
    options.threads = threads ?? job.defaultThreads(shards: options.effectiveShards)
    options.precision = precisionArguments.precision
    return options
  }

  /// A batch of noise: memory is the model's, not that of samples nobody looks at.
  func data() throws -> Dataset {
    try .random(shape: shape.shape, classCount: classes, count: max(1, batchSize), seed: 0)
  }

  /// What all ranks must have been given alike.
  func shared(_ options: TrainingOptions) -> [(name: String, value: String)] {
    modelArguments.options + precisionArguments.options + [
      ("shape", "\(shape)"), ("classes", "\(classes)"), ("batch-size", "\(batchSize)"),
      ("shards", shards.map { "\($0)" } ?? "unset"), ("threads", "\(options.threads)"),
    ]
  }
}
