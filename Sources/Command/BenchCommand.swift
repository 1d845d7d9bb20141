import ArgumentParser
import Collectives
import Layers
import Reports
import Training

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure.",
    subcommands: [
      BenchStepCommand.self, SyncVersusLocalCommand.self, NoiseCommand.self, BenchAccuracyCommand.self,
    ])
}

struct BenchStepCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "step",
    abstract: "Measure a training step: images per second, and where the time goes.",
    discussion: """
      Trains on noise. Prints each operation's time in the step and alone, its rate against the core's peak, the \
      waits, and the bound: the sum of the kernels' own times.

        lockstep bench step --model resnet20
        lockstep bench step --model resnet18 --shape 3,224,224 --batch-size 32
        mpirun -np 2 --bind-to none lockstep bench step --threads 1 --model mlp \\
          --shape 1,28,28 --batch-size 64
      """)

  @OptionGroup var arguments: BenchArguments

  @Option(help: ArgumentHelp("Steps to measure; half as many are profiled.", valueName: "count"))
  var steps = 20

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    if steps < 1 { throw ValidationError("--steps must be positive.") }
  }

  @Option(help: ArgumentHelp("Take kernels and slices from a file that lockstep tune wrote.", valueName: "file"))
  var plan: String?

  func run(_ job: Job) throws {
    var options = arguments.options(job)
    try job.requireSame(arguments.shared(options) + [("steps", "\(steps)"), ("plan", plan ?? "unset")])
    let trainer = try job.communicator.agree { () throws -> Trainer in
      options.kernels = try plan.map { try KernelPlan(contentsOf: $0) }
      let data = try arguments.data()
      return try Trainer(
        arguments.modelArguments.make(for: data), data: data, options: options, communicator: job.communicator)
    }
    let model = arguments.modelArguments.model
    let bar = ProgressBar()
    let benchmark = try StepBenchmark(trainer, steps: steps) { share in
      if job.isFirst { bar.show(share, "measuring \(model)") }
    }
    bar.clear()
    let table = StepTable(benchmark, trainer, model: model)
    job.print(json ? try table.json : table.text)
  }
}
