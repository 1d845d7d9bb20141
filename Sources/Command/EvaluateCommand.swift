import ArgumentParser
import Collectives
import Datasets
import Reports
import Tensors
import Training

struct EvaluateCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a trained network on the test samples.",
    discussion: "  lockstep evaluate --model resnet20 --dataset cifar10 --data DIR --init resnet20.safetensors")

  @OptionGroup(title: "Data") var dataArguments: DataArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(
    name: .customLong("init"),
    help: ArgumentHelp("The network's parameters, named as PyTorch names them.", valueName: "file.safetensors"))
  var initial: String

  @Option(help: ArgumentHelp("Samples computed at once, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Computing threads per rank. (default: the CPUs this rank may use)", valueName: "count"))
  var threads: Int?

  @OptionGroup var precisionArguments: PrecisionArguments

  @Option(help: ArgumentHelp("The key of the procedural data.", valueName: "number"))
  var seed: UInt64 = 0

  func run(_ job: Job) throws {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.threads = threads ?? job.defaultThreads
    options.seed = seed
    options.precision = precisionArguments.precision
    try job.requireSame(
      modelArguments.options + dataArguments.options + precisionArguments.options + [
        ("init", initial), ("batch-size", "\(batchSize)"), ("threads", "\(options.threads)"), ("seed", "\(seed)"),
      ])
    let trainer = try job.communicator.agree { [options] () throws -> Trainer in
      let data = try dataArguments.load(seed: seed)
      if data.test == nil { throw LockstepError("the data set \(data.name) has no test samples to evaluate on") }
      let model = try modelArguments.make(for: data)
      let trainer = try Trainer(model, data: data, options: options, communicator: job.communicator)
      try trainer.initialize(from: Safetensors(contentsOf: initial), source: initial)
      return trainer
    }
    try job.announce(options, "\(modelArguments.model) on \(trainer.data.name)")
    let clock = ContinuousClock()
    let start = clock.now
    guard let result = try trainer.evaluate() else { return }
    let rate = Double(result.count) / ((clock.now - start) / .seconds(1))
    job.print(
      "test loss \(Formats.fixed(result.loss, 4))  test accuracy"
        + " \(Formats.percent(Double(result.correct) / Double(result.count))) of \(Formats.grouped(result.count))"
        + "  \(Formats.rate(rate)) samples/s")
  }
}
