import ArgumentParser
import Collectives
import Datasets
import Reports
import Tensors
import Training

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure.", subcommands: [BenchStepCommand.self])
}

struct BenchStepCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "step",
    abstract: "Measure a training step: images per second, and where the time goes.",
    discussion: """
      Trains on noise. Prints each operation's time in the step and alone, its rate against the core's peak, the waits,
      and the bound: the sum of the kernels' own times.

        lockstep bench step --model resnet20
        lockstep bench step --model resnet18 --shape 3,224,224 --classes 1000 --batch-size 32
        mpirun -np 2 --bind-to none lockstep bench step --threads 1 --model mlp --shape 1,28,28 --batch-size 64
      """)

  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(help: ArgumentHelp("The shape of a sample.", valueName: "C,H,W"))
  var shape = ShapeChoice(SampleShape(channels: 3, height: 32, width: 32))

  @Option(help: ArgumentHelp("The number of classes.", valueName: "count"))
  var classes = 10

  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Shards of a batch. (default: as in training)", valueName: "count"))
  var shards: Int?

  @Option(help: ArgumentHelp("Computing threads per rank. (default: the CPUs this rank may use)", valueName: "count"))
  var threads: Int?

  @Option(help: ArgumentHelp("Steps to measure; half as many are profiled.", valueName: "count"))
  var steps = 20

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if steps < 1 { throw ValidationError("--steps must be positive.") }
  }

  func run(_ job: Job) throws {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.shards = shards
    options.threads = threads ?? job.defaultThreads
    try job.requireSame(
      modelArguments.options + [
        ("shape", "\(shape)"), ("classes", "\(classes)"), ("batch-size", "\(batchSize)"),
        ("shards", "\(options.shards ?? 0)"), ("threads", "\(options.threads)"), ("steps", "\(steps)"),
      ])
    let trainer = try job.communicator.agree { [options] () throws -> Trainer in
      let data = try Dataset.load("random", path: nil, shape: shape.shape, classCount: classes, seed: 0)
      return try Trainer(modelArguments.make(for: data), data: data, options: options, communicator: job.communicator)
    }
    let bar = ProgressBar()
    let benchmark = try StepBenchmark(trainer, steps: steps) { share in
      if job.isFirst { bar.show(share, "measuring \(modelArguments.model)") }
    }
    bar.clear()
    let table = StepTable(benchmark, trainer, model: modelArguments.model)
    job.print(json ? table.json : table.text)
  }
}
