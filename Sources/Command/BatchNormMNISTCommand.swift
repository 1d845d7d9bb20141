import ArgumentParser
import Collectives
import Datasets
import Experiments
import Reports
import Tensors
import Training

struct BatchNormMNISTCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "batch-norm-mnist",
    abstract: "Ioffe and Szegedy 2015, figure 1: a network of sigmoids with batch norm and without.",
    discussion: """
      Trains three hidden layers of 100 sigmoids on black and white digits, twice, and shows the test accuracy and the \
      distribution of a sigmoid's input in the course of training. --quick takes 5,000 steps, --full 50,000.

        lockstep experiment batch-norm-mnist --full --data DIR --output figure-1
      """)

  @Flag(exclusivity: .exclusive) var form = ExperimentForm.quick

  @Option(help: ArgumentHelp("The data: mnist, fashion-mnist, glyphs, or another of bytes.", valueName: "name"))
  var dataset = "mnist"

  @Option(help: ArgumentHelp("The folder with the data set's files, as published.", valueName: "path"))
  var data: String?

  @Option(help: ArgumentHelp("Optimizer steps, instead of the form's.", valueName: "count"))
  var steps: Int?

  @Option(help: ArgumentHelp("The learning rate; the paper does not give it.", valueName: "rate"))
  var learningRate: Float = 0.1

  @Option(help: ArgumentHelp("The standard deviation of the weights at the start.", valueName: "deviation"))
  var weightDeviation: Float = 0.1

  @Option(help: ArgumentHelp("The key of all randomness.", valueName: "number"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @OptionGroup(title: "Output") var outputArguments: OutputArguments

  func validate() throws {
    if let steps, steps < 1 { throw ValidationError("--steps must be positive.") }
  }

  func run(_ job: Job) throws {
    let experiment = experiment(job)
    try job.requireSame(
      identity(experiment) + [("threads", "\(experiment.threads)"), ("data", data ?? "unset")] + outputArguments.options
    )
    let data = try job.communicator.agree {
      try Dataset.load(dataset, path: self.data, shape: nil, classCount: nil, seed: seed).binarized()
    }
    let (folder, earlier) = try outputArguments.open(
      BatchNormMNIST.Results.self, named: "batch-norm-mnist", options: identity(experiment), job)
    var results = earlier ?? BatchNormMNIST.Results()
    let missing = [true, false].filter { form in !results.networks.contains { $0.hasBatchNorm == form } }
    let progress = WorkProgress(missing.map { _ in 1 })
    for (number, hasBatchNorm) in missing.enumerated() {
      let name = hasBatchNorm ? "with batch norm" : "without"
      results.networks.append(
        try experiment.measure(hasBatchNorm: hasBatchNorm, data, job.communicator) { share in
          if job.isFirst { progress.show(number, share, name) }
        })
      try job.communicator.agree {
        guard job.isFirst else { return }
        try folder.write(experiment.page(results, dataset: data.name), results)
        progress.finish(number, name)
      }
    }
    let page = experiment.page(results, dataset: data.name)
    try job.communicator.agree { if job.isFirst { try folder.write(page, results) } }
    job.print((page.findings + ["", "written to \(folder.path)/index.html"]).joined(separator: "\n"))
  }

  private func experiment(_ job: Job) -> BatchNormMNIST {
    var experiment = BatchNormMNIST()
    experiment.steps = steps ?? (form == .full ? 50_000 : 5_000)
    experiment.interval = max(1, experiment.steps / 100)
    experiment.learningRate = learningRate
    experiment.deviation = weightDeviation
    experiment.seed = seed
    let shards = TrainingOptions.defaultShards(globalBatchSize: experiment.globalBatchSize)
    experiment.threads = threads ?? job.defaultThreads(shards: shards)
    return experiment
  }

  /// What decides the results.
  private func identity(_ experiment: BatchNormMNIST) -> [(name: String, value: String)] {
    [
      ("dataset", dataset), ("steps", "\(experiment.steps)"), ("learning-rate", "\(learningRate)"),
      ("weight-deviation", "\(weightDeviation)"), ("seed", "\(seed)"),
    ]
  }
}
