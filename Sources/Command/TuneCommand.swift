import ArgumentParser
import Collectives
import Layers
import Reports
import Tensors
import Training

struct TuneCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Measure which kernels and slices are fastest for a network on this machine.",
    discussion: """
      The plan decides a run's bits: every rank of a job must take the same file, and checkpoints keep it.

        lockstep tune --model resnet20 --save resnet20.plan.json
        lockstep train --model resnet20 --dataset cifar10 --data DIR \\
          --plan resnet20.plan.json
      """)

  @OptionGroup var arguments: BenchArguments

  @Option(help: ArgumentHelp("Write the plan here.", valueName: "file"))
  var save: String

  func run(_ job: Job) throws {
    guard job.communicator.size == 1 else {
      throw SharedError("tune measures on one rank; launch it without mpirun")
    }
    try AtomicFile.checkWritable(save)
    let data = try arguments.data()
    let bar = ProgressBar()
    let tuner = try KernelTuner(
      { try arguments.modelArguments.make(for: data) }, data: data, options: arguments.options(job)
    ) { bar.show($0, "tuning \(arguments.modelArguments.model)") }
    bar.clear()
    try tuner.plan.write(to: save)
    job.print(TuningTable(tuner).text + "\nwritten to \(save)")
  }
}
