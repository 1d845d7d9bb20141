import ArgumentParser
import Collectives
import Datasets
import Experiments
import Layers
import Models
import Reports
import Tensors
import Training

struct BenchAccuracyCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "accuracy",
    abstract: "Measure the accuracy that batch norm and group norm reach, against the samples of one worker.",
    discussion: """
      Trains the same network at one global batch with sync batch norm, with group norm, and with the statistics that \
      workers of 64, 32, ... 2 samples would take for themselves (ghost:N is, bit for bit, what they compute), and \
      writes a page. An interrupted bench keeps the runs that are complete; --resume goes on.

        lockstep bench accuracy --dataset fashion-mnist --data DIR --output accuracy
        lockstep bench accuracy --dataset fashion-mnist --data DIR --epochs 5 \\
          --train-samples 20000 --output accuracy
      """)

  @OptionGroup(title: "Data") var dataArguments: DataArguments

  @Option(help: ArgumentHelp("Take the first training samples only.", valueName: "count"))
  var trainSamples: Int?

  @Option(help: ArgumentHelp("Take the first test samples only.", valueName: "count"))
  var testSamples: Int?

  @Option(help: ArgumentHelp("The network: \(ModelZoo.names.joined(separator: ", ")).", valueName: "name"))
  var model = "resnet20"

  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Samples of one worker, each dividing the batch.", valueName: "count"))
  var samplesPerWorker = [64, 32, 16, 8, 4, 2]

  @Option(help: ArgumentHelp("Runs of each kind.", valueName: "count"))
  var seeds = 3

  @Option(help: ArgumentHelp("The first key of all randomness.", valueName: "number"))
  var seed: UInt64 = 0

  @Option(help: ArgumentHelp("Passes over the training samples.", valueName: "count"))
  var epochs = 10

  @Option(help: ArgumentHelp("The learning rate, from which half a cosine leads to 0.", valueName: "rate"))
  var learningRate: Float = 0.1

  @Option(help: ArgumentHelp("Weight decay (the L2 penalty's factor).", valueName: "factor"))
  var weightDecay: Float = 5e-4

  @Flag(help: "Crop the training samples at random after padding and, where that makes sense, flip them.")
  var augment = false

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @OptionGroup(title: "Output") var outputArguments: OutputArguments

  func validate() throws {
    for (name, value) in [
      ("train-samples", trainSamples ?? 1), ("test-samples", testSamples ?? 1), ("batch-size", batchSize),
      ("seeds", seeds), ("epochs", epochs), ("samples-per-worker", samplesPerWorker.min() ?? 1),
    ] where value < 1 {
      throw ValidationError("--\(name) must be positive.")
    }
    for samples in samplesPerWorker where batchSize % samples != 0 || samples == batchSize {
      throw ValidationError("--samples-per-worker \(samples) does not divide a batch of \(batchSize) among workers.")
    }
  }

  func run(_ job: Job) throws {
    let bench = bench(job)
    try job.requireSame(
      identity + [("threads", "\(bench.options.threads)"), ("data", dataArguments.data ?? "unset")]
        + outputArguments.options)
    let data = try job.communicator.agree { () throws -> Dataset in
      let data = try dataArguments.load(seed: seed).prefix(train: trainSamples, test: testSamples)
      if data.test == nil {
        throw LockstepError("the data set \(data.name) has no test samples to measure accuracy on")
      }
      return data
    }
    // Finds out before anything runs whether the networks can be trained.
    for kind in Set(bench.plan.map(\.kind)) {
      _ = try bench.trainer(kind.normalization, data, bench.options, job.communicator)
    }
    let (folder, earlier) = try outputArguments.open(
      AccuracyBench.Results.self, named: "accuracy", options: identity, job)
    var results = earlier ?? AccuracyBench.Results()
    func write() throws {
      try job.communicator.agree {
        if job.isFirst { try folder.write(bench.page(results, dataset: subject(data)), results) }
      }
    }
    let layouts = bench.layouts.filter { workers in !results.layouts.contains { $0.workers == workers } }
    for workers in layouts {
      let layout = try job.communicator.agree { job.isFirst ? try bench.layout(workers: workers, data) : nil }
      if let layout = try job.broadcast(layout) { results.layouts.append(layout) }
      if job.isFirst { Terminal.write("\(bench.summary(results.layouts.last!))\n") }
      try write()
    }
    let missing = bench.plan.filter { run in
      !results.runs.contains { $0.normalization == run.kind && $0.seed == run.seed }
    }
    let progress = WorkProgress(missing.map { _ in 1 })
    for (number, run) in missing.enumerated() {
      let name = "\(run.kind), seed \(run.seed)"
      let result = try bench.run(run.kind, seed: run.seed, data, job.communicator) { share in
        if job.isFirst { progress.show(number, share, name) }
      }
      results.runs.append(result)
      try write()
      if job.isFirst { progress.finish(number, "\(name): \(Formats.percent(result.finalAccuracy))") }
    }
    try write()
    let findings = bench.page(results, dataset: subject(data)).findings
    job.print((findings + ["", "written to \(folder.path)/index.html"]).joined(separator: "\n"))
  }

  private func bench(_ job: Job) -> AccuracyBench {
    var bench = AccuracyBench()
    bench.model = model
    bench.samplesPerWorker = samplesPerWorker
    bench.seeds = seeds
    bench.options.globalBatchSize = batchSize
    bench.options.threads = threads ?? job.defaultThreads(shards: bench.options.effectiveShards)
    bench.options.length = .epochs(epochs)
    bench.options.learningRate = learningRate
    bench.options.optimizer = SGD(momentum: 0.9, weightDecay: weightDecay)
    bench.options.schedule = Schedule(.cosine)
    bench.options.seed = seed
    bench.options.augments = augment
    return bench
  }

  private func subject(_ data: Dataset) -> String {
    "\(data.name) (\(Formats.grouped(data.train.count)) training samples, \(epochs) epochs)"
  }

  /// What decides the results.
  private var identity: [(name: String, value: String)] {
    [
      ("dataset", dataArguments.dataset), ("train-samples", trainSamples.map { "\($0)" } ?? "unset"),
      ("test-samples", testSamples.map { "\($0)" } ?? "unset"), ("model", model), ("batch-size", "\(batchSize)"),
      ("samples-per-worker", samplesPerWorker.map { "\($0)" }.joined(separator: " ")), ("seeds", "\(seeds)"),
      ("seed", "\(seed)"), ("epochs", "\(epochs)"), ("learning-rate", "\(learningRate)"),
      ("weight-decay", "\(weightDecay)"), ("augment", "\(augment)"),
    ]
  }
}
