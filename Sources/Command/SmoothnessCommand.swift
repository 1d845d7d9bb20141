import ArgumentParser
import Collectives
import Datasets
import Experiments
import Reports
import Tensors
import Training

struct SmoothnessCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "smoothness",
    abstract: "Santurkar et al. 2018: the loss landscape and covariate shift, with batch norm and without.",
    discussion: """
      Trains a VGG network with batch norm, without, and with noise behind batch norm, and a linear network of 25 \
      layers with and without. In the course of training it measures the range of the loss and of the gradient's \
      change along the gradient, the effective beta-smoothness, and how the gradients of layers change when the layers \
      below take their step.

      --quick takes 150 steps of VGG and 1,000 of the linear network; --full 15,000 and 10,000, which takes hours.

        lockstep experiment smoothness --dataset cifar10 --data DIR --output page
        lockstep experiment smoothness --dataset cifar10 --data DIR --steps 1500 \\
          --interval 75 --output smoothness-1500
      """)

  @Flag(exclusivity: .exclusive) var form = ExperimentForm.quick

  @OptionGroup(title: "Data") var dataArguments: DataArguments

  @Option(help: ArgumentHelp("The network: vgg11, vgg16, or another of the models.", valueName: "name"))
  var model = "vgg11"

  @Option(help: ArgumentHelp("Optimizer steps, instead of the form's.", valueName: "count"))
  var steps: Int?

  @Option(
    help: ArgumentHelp("Steps between measurements. (default: a hundredth of the steps, or 15)", valueName: "count"))
  var interval: Int?

  @Option(help: ArgumentHelp("Optimizer steps of the linear network, instead of the form's.", valueName: "count"))
  var linearSteps: Int?

  @Option(help: ArgumentHelp("The learning rate.", valueName: "rate"))
  var learningRate: Float = 0.1

  @Option(help: ArgumentHelp("The linear network's learning rate.", valueName: "rate"))
  var linearLearningRate = 1e-6

  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Points along the gradient.", valueName: "count"))
  var points = 8

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("The layers with weights whose covariate shift is measured, from 1.", valueName: "number"))
  var layers = [2, 5, 8]

  @Option(help: ArgumentHelp("The key of all randomness.", valueName: "number"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @OptionGroup(title: "Output") var outputArguments: OutputArguments

  func validate() throws {
    for (name, value) in [
      ("steps", steps ?? 1), ("interval", interval ?? 1), ("linear-steps", linearSteps ?? 1), ("points", points),
      ("layers", layers.min() ?? 1),
    ] where value < 1 {
      throw ValidationError("--\(name) must be positive.")
    }
    guard learningRate > 0, linearLearningRate > 0 else { throw ValidationError("Learning rates must be positive.") }
  }

  func run(_ job: Job) throws {
    let experiment = experiment(job)
    try job.requireSame(
      identity(experiment) + [("threads", "\(experiment.threads)"), ("data", dataArguments.data ?? "unset")]
        + outputArguments.options)
    let data = try job.communicator.agree { try dataArguments.load(seed: seed) }
    // Finds out before anything runs whether the network can be trained.
    _ = try experiment.trainer(.batchNorm, data, job.communicator)
    let (folder, earlier) = try outputArguments.open(
      Smoothness.Results.self, named: "smoothness", options: identity(experiment), job)
    var results = earlier ?? Smoothness.Results()
    let missing = Smoothness.Kind.allCases.filter { kind in !results.networks.contains { $0.kind == kind } }
    let progress = WorkProgress(missing.map { experiment.work($0) })
    for (number, kind) in missing.enumerated() {
      results.networks.append(
        try experiment.measure(kind, data, job.communicator) { share in
          if job.isFirst { progress.show(number, share, kind.rawValue) }
        })
      try job.communicator.agree {
        guard job.isFirst else { return }
        try folder.write(experiment.page(results, dataset: data.name), results)
        progress.finish(number, kind.rawValue)
      }
    }
    let page = experiment.page(results, dataset: data.name)
    try job.communicator.agree { if job.isFirst { try folder.write(page, results) } }
    job.print((page.findings + ["", "written to \(folder.path)/index.html"]).joined(separator: "\n"))
  }

  private func experiment(_ job: Job) -> Smoothness {
    var experiment = Smoothness()
    experiment.model = model
    experiment.steps = steps ?? (form == .full ? 15_000 : 150)
    experiment.interval = interval ?? max(15, experiment.steps / 100)
    experiment.linearSteps = linearSteps ?? (form == .full ? 10_000 : 1_000)
    experiment.linearInterval = max(1, experiment.linearSteps / 100)
    experiment.globalBatchSize = batchSize
    experiment.learningRate = learningRate
    experiment.linearLearningRate = linearLearningRate
    experiment.points = points
    experiment.layers = layers
    experiment.seed = seed
    let shards = TrainingOptions.defaultShards(globalBatchSize: experiment.globalBatchSize)
    experiment.threads = threads ?? job.defaultThreads(shards: shards)
    return experiment
  }

  /// What decides the results.
  private func identity(_ experiment: Smoothness) -> [(name: String, value: String)] {
    [
      ("dataset", dataArguments.dataset), ("model", model), ("steps", "\(experiment.steps)"),
      ("interval", "\(experiment.interval)"), ("linear-steps", "\(experiment.linearSteps)"),
      ("learning-rate", "\(learningRate)"), ("linear-learning-rate", "\(linearLearningRate)"),
      ("batch-size", "\(batchSize)"), ("points", "\(points)"),
      ("layers", layers.map { "\($0)" }.joined(separator: " ")), ("seed", "\(seed)"),
    ]
  }
}
