import ArgumentParser
import Collectives
import Datasets
import Reports
import Tensors
import Training

struct EvaluateCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a trained network on the test samples.",
    discussion: """
        lockstep evaluate --model resnet20 --dataset cifar10 --data DIR \\
          --init resnet20.safetensors

      Batch norm normalizes with the running averages that were saved with the network. They lag behind its parameters \
      and weigh the last batches most. --recompute-statistics N takes, in their place, the exact mean and variance of \
      every channel over N batches of training samples, each batch normalized by its own statistics over the global \
      batch, as in training (Wu, Johnson 2021, arXiv:2105.07576): the same bits on any ranks x threads.

        lockstep evaluate --model resnet20 --dataset cifar10 --data DIR \\
          --init resnet20.safetensors --recompute-statistics 100
      """)

  @OptionGroup(title: "Data") var dataArguments: DataArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(
    name: .customLong("init"),
    help: ArgumentHelp("The network's parameters, named as PyTorch names them.", valueName: "file.safetensors"))
  var initial: String

  @Option(
    help: ArgumentHelp(
      "Normalize with exact statistics over that many batches of training samples, not with running averages.",
      valueName: "batches"))
  var recomputeStatistics: Int?

  @Option(help: ArgumentHelp("Samples computed at once, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @OptionGroup var precisionArguments: PrecisionArguments

  @Option(help: ArgumentHelp("The key of the procedural data.", valueName: "number"))
  var seed: UInt64 = 0

  func run(_ job: Job) throws {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.threads = threads ?? job.defaultThreads(shards: options.effectiveShards)
    options.seed = seed
    options.precision = precisionArguments.precision
    try job.requireSame(
      modelArguments.options + dataArguments.options + precisionArguments.options + [
        ("init", initial), ("batch-size", "\(batchSize)"), ("threads", "\(options.threads)"), ("seed", "\(seed)"),
        ("recompute-statistics", recomputeStatistics.map { "\($0)" } ?? "unset"),
      ])
    let trainer = try job.communicator.agree { [options] () throws -> Trainer in
      let data = try dataArguments.load(seed: seed)
      if data.test == nil { throw LockstepError("the data set \(data.name) has no test samples to evaluate on") }
      let model = try modelArguments.make(for: data)
      return try Trainer(
        model, data: data, options: options, communicator: job.communicator,
        onlyEvaluates: recomputeStatistics == nil)
    }
    try job.initialize(trainer, from: initial)
    try job.announce(options, "\(modelArguments.model) on \(trainer.data.name)")
    if let recomputeStatistics {
      try job.communicator.agree { try trainer.recomputeStatistics(batches: recomputeStatistics) }
    }
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
