import ArgumentParser
import Collectives
import Datasets
import Layers
import Models
import Reports
import Tensors
import Training

/// Layouts of ranks x threads.
struct LayoutsChoice: ExpressibleByArgument {
  let layouts: [JobLayout]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    layouts = parts.compactMap { JobLayout($0) }
    guard layouts.count == parts.count, Set(layouts).count == layouts.count else { return nil }
  }
}

struct SyncVersusLocalCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "sync-vs-local",
    abstract: "Measure what sync batch norm costs over local, on layouts of ranks and threads.",
    discussion: """
      Launch it as training is launched. Each layout takes the first ranks of the job, while the others sleep, and may \
      use the CPUs of all. Trains on noise with sync and with local statistics in turn, and writes a page.

        mpirun -np 2 lockstep bench sync-vs-local
        mpirun -np 4 lockstep bench sync-vs-local --layouts 1x1,2x2,4x2 \\
          --model vgg11 --output vgg11-cost
      """)

  @Option(help: ArgumentHelp("The network: \(ModelZoo.names.joined(separator: ", ")).", valueName: "name"))
  var model = "resnet20"

  @Option(help: ArgumentHelp("The shape of a sample.", valueName: "C,H,W"))
  var shape = ShapeChoice(SampleShape(channels: 3, height: 32, width: 32))

  @Option(help: ArgumentHelp("The number of classes.", valueName: "count"))
  var classes = 10

  @Option(help: ArgumentHelp("Samples of one step over all workers, for strong scaling.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Samples of one step and worker, for weak scaling.", valueName: "count"))
  var batchSizePerWorker = 64

  @Option(
    help: ArgumentHelp(
      "Ranks x threads. (default: one worker up to all ranks and CPUs of the job)", valueName: "RxT,RxT,..."))
  var layouts: LayoutsChoice?

  @Option(help: ArgumentHelp("How often sync and local are measured in turn.", valueName: "count"))
  var rounds = 9

  @OptionGroup(title: "Output") var outputArguments: OutputArguments

  func validate() throws {
    if rounds < 1 { throw ValidationError("--rounds must be positive.") }
    if batchSize < 1 || batchSizePerWorker < 1 { throw ValidationError("Batch sizes must be positive.") }
  }

  func run(_ job: Job) throws {
    try job.requireSame(
      identity + [("layouts", layouts.map { "\($0.layouts)" } ?? "unset")] + outputArguments.options)
    let data = try job.communicator.agree { () throws -> Dataset in
      let data = try Dataset.load("random", path: nil, shape: shape.shape, classCount: classes, seed: 0)
      _ = try network(.sync)
      return data
    }
    let pool = try ProcessorPool(job)
    var layouts = self.layouts?.layouts ?? pool.layouts
    let (fewest, ranks) = (layouts.map(\.ranks).min() ?? 1, job.communicator.size)
    guard fewest <= ranks else {
      throw SharedError(
        "these layouts need \(fewest) ranks, this job has \(ranks); launch it with mpirun -np \(fewest)")
    }
    let (folder, earlier) = try outputArguments.open(
      SyncCostReport.self, named: "sync-vs-local", options: identity, job)
    var report = earlier ?? SyncCostReport()
    report.retry()
    for layout in layouts where layout.ranks > job.communicator.size {
      report.skip(layout, "needs \(layout.ranks) ranks, this job has \(job.communicator.size)")
    }
    layouts.removeAll { $0.ranks > job.communicator.size }
    let measurements = measurements(layouts, pool).filter { !report.has($0.layout, $0.scaling) }
    let progress = WorkProgress(measurements.map { work($0) })
    var groups: [Int: (any Communicator)?] = [:]
    for (number, measurement) in measurements.enumerated() {
      let ranks = measurement.layout.ranks
      if groups[ranks] == nil { groups[ranks] = .some(try job.communicator.first(ranks)) }
      let outcome = try groups[ranks]!.map { group in
        try measure(measurement, data, group) { share in
          if job.isFirst { progress.show(number, share, "\(measurement.layout) \(measurement.scaling)") }
        }
      }
      try job.communicator.sleepingBarrier()
      try job.communicator.agree {
        switch try job.broadcast(outcome) {
        case .measured(let cost): try report.add(cost)
        case .skipped(let reason): report.skip(measurement.layout, reason)
        case .failed(let reason): throw LockstepError("\(measurement.layout): \(reason)")
        case nil: break
        }
        if job.isFirst {
          try folder.write(report.page(subject), report)
          progress.finish(
            number, "\(measurement.layout), \(measurement.scaling) scaling, batch \(measurement.globalBatchSize)")
        }
      }
    }
    if job.isFirst { try folder.write(report.page(subject), report) }
    job.print(report.text + "\nwritten to \(folder.path)/index.html")
  }

  /// What became of a measurement, as rank 0 saw it.
  private enum Outcome: Codable {
    case measured(SyncCost)
    /// The layout cannot train this batch.
    case skipped(String)
    case failed(String)
  }

  private func measure(
    _ measurement: SyncCost, _ data: Dataset, _ group: any Communicator, progress: (Double) -> Void
  ) throws -> Outcome {
    let benchmark: SyncCostBenchmark
    do {
      benchmark = try group.agree {
        try SyncCostBenchmark(measurement, data: data, communicator: group, model: network)
      }
    } catch let error as SharedError {
      return .skipped(error.description)
    }
    do {
      try benchmark.warmUp()
      for round in 0..<rounds {
        progress(Double(round + 1) / Double(rounds + 2))
        try benchmark.round()
      }
      try benchmark.breakDown()
      return .measured(benchmark.result)
    } catch let error as SharedError {
      return .failed(error.description)
    }
  }

  private func network(_ statistics: Statistics) throws -> Sequential {
    try ModelZoo.model(
      model, ModelOptions(input: shape.shape, classCount: classes, normalization: .batch(statistics)))
  }

  /// Strong and weak scaling of every layout.
  ///
  /// A shared batch has the same shards on every layout, enough for the one with the most workers, and so gives the same
  /// bits on all.
  private func measurements(_ layouts: [JobLayout], _ pool: ProcessorPool) -> [SyncCost] {
    func measurement(_ layout: JobLayout, _ scaling: SyncCost.Scaling, _ batch: Int, workers: Int) -> SyncCost {
      let shards = min(batch, max(workers, TrainingOptions.defaultShards(globalBatchSize: batch)))
      return SyncCost(layout, scaling, globalBatchSize: batch, shards: shards, processors: pool.usable(layout))
    }
    let most = layouts.map(\.workers).max() ?? 1
    return layouts.map { measurement($0, .strong, batchSize, workers: most) }
      + layouts.map { measurement($0, .weak, batchSizePerWorker * $0.workers, workers: $0.workers) }
  }

  /// How long a measurement takes, beside others.
  private func work(_ measurement: SyncCost) -> Double {
    Double(measurement.globalBatchSize) / Double(measurement.processors)
  }

  private var subject: String { "\(model) on samples \(shape.shape) of \(classes) classes" }

  /// What decides the results.
  private var identity: [(name: String, value: String)] {
    [
      ("model", model), ("shape", "\(shape)"), ("classes", "\(classes)"), ("batch-size", "\(batchSize)"),
      ("batch-size-per-worker", "\(batchSizePerWorker)"), ("rounds", "\(rounds)"),
    ]
  }
}
