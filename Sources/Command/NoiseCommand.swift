import ArgumentParser
import Collectives
import Datasets
import Models
import Reports
import Tensors
import Training

struct NoiseCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "noise",
    abstract: "Measure how noisy batch statistics are that workers take from few samples.",
    discussion: """
      Looks at every batch norm of a fresh network and of a trained one, for groups of 2, 4, ... samples up to the \
      whole batch, beside the 1/n law, and writes a page.

        lockstep bench noise --dataset cifar10 --data DIR
        lockstep bench noise --dataset cifar10 --data DIR --output noise \\
          --init resnet20.safetensors
      """)

  @OptionGroup(title: "Data") var dataArguments: DataArguments

  @Option(help: ArgumentHelp("The network: \(ModelZoo.names.joined(separator: ", ")).", valueName: "name"))
  var model = "resnet20"

  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Batches to look at.", valueName: "count"))
  var batches = 32

  @Option(help: ArgumentHelp("Steps of training before the network counts as trained.", valueName: "count"))
  var steps = 300

  @Option(help: ArgumentHelp("The learning rate of these steps.", valueName: "rate"))
  var learningRate: Float = 0.1

  @Option(
    name: .customLong("init"),
    help: ArgumentHelp("The trained network's parameters, instead of training.", valueName: "file.safetensors"))
  var trained: String?

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @Option(help: ArgumentHelp("The key of all randomness.", valueName: "number"))
  var seed: UInt64 = 0

  @OptionGroup(title: "Output") var outputArguments: OutputArguments

  func validate() throws {
    if batches < 2 { throw ValidationError("--batches must be at least 2: noise is a difference between groups.") }
    if batchSize < 4 { throw ValidationError("--batch-size must be at least 4, so that it has groups.") }
  }

  func run(_ job: Job) throws {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.threads = threads ?? job.defaultThreads(shards: options.effectiveShards)
    options.length = .steps(steps)
    options.learningRate = learningRate
    options.seed = seed
    try job.requireSame(
      identity + [
        ("data", dataArguments.data ?? "unset"), ("threads", "\(options.threads)"),
      ] + outputArguments.options)
    let trainer = try job.communicator.agree { [options] () throws -> Trainer in
      let data = try dataArguments.load(seed: seed)
      let network = try ModelZoo.model(model, ModelOptions(input: data.shape, classCount: data.classCount))
      return try Trainer(network, data: data, options: options, communicator: job.communicator)
    }
    let file = try trained.map { try job.parameters(of: $0) }
    let (folder, earlier) = try outputArguments.open(NoiseReport.self, named: "noise", options: identity, job)
    try job.announce(options, "\(model) on \(trainer.data.name), \(batches) batches to look at")
    var report = earlier ?? NoiseReport()
    func write() throws {
      try job.communicator.agree { if job.isFirst { try folder.write(report.page(subject), report) } }
    }
    if report.fresh == nil {
      report.fresh = try measure(trainer, "fresh", job)
      try write()
    }
    if report.trained == nil {
      report.training = try train(trainer, file, job)
      report.trained = try measure(trainer, "trained", job)
    }
    try write()
    job.print(report.text + "\nwritten to \(folder.path)/index.html")
  }

  private func measure(_ trainer: Trainer, _ state: String, _ job: Job) throws -> StatisticsNoise {
    let bar = ProgressBar()
    defer { bar.clear() }
    return try job.communicator.agree {
      try trainer.statisticsNoise(batches: batches) { share in
        if job.isFirst { bar.show(share, "looking at the \(state) network") }
      }
    }
  }

  /// - Returns: how the network was trained.
  private func train(_ trainer: Trainer, _ file: Safetensors?, _ job: Job) throws -> String {
    if let file, let trained {
      try job.communicator.agree { try trainer.initialize(from: file, source: trained) }
      return "the parameters of \(trained)"
    }
    let progress = ProgressReport(totalSteps: trainer.totalSteps, stepsPerEpoch: trainer.stepsPerEpoch)
    var loss = 0.0
    try trainer.train { event in
      if job.isFirst { progress.show(event) }
      if case .step(let step) = event { loss = step.result.loss }
    }
    return "\(steps) steps at learning rate \(learningRate), after which the loss is \(Formats.fixed(loss, 3))"
  }

  private var subject: String {
    "\(model) on \(dataArguments.dataset), \(batches) batches of \(batchSize) samples"
  }

  /// What decides the results.
  private var identity: [(name: String, value: String)] {
    dataArguments.options.filter { $0.name != "data" } + [
      ("model", model), ("batch-size", "\(batchSize)"), ("batches", "\(batches)"), ("steps", "\(steps)"),
      ("learning-rate", "\(learningRate)"), ("init", trained ?? "unset"), ("seed", "\(seed)"),
    ]
  }
}
