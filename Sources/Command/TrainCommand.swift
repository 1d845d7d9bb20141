import ArgumentParser
import Collectives
import Datasets
import Foundation
import Layers
import Reports
import Tensors
import Training

struct TrainCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a network.",
    discussion: """
      Launch it alone or with mpirun; the number of ranks and threads changes the time it takes, not the model.

        lockstep train --model mlp --dataset mnist --data DIR --epochs 5
        mpirun -np 2 --bind-to none lockstep train --threads 1 --model resnet20 \\
          --dataset cifar10 --data DIR --augment --epochs 20 --learning-rate 0.1 \\
          --schedule cosine --weight-decay 5e-4 --save resnet20.safetensors
        lockstep train ... --checkpoint DIR            stop it at any time, then
        lockstep train ... --checkpoint DIR --resume   on any ranks x threads
      """)

  @OptionGroup(title: "Data") var dataArguments: DataArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments
  @OptionGroup(title: "Training") var arguments: TrainingArguments
  @OptionGroup(title: "Files") var files: FileArguments

  func run(_ job: Job) throws {
    var options = arguments.options(job)
    try job.requireSame(sharedOptions(options))
    options.kernels = try files.kernels(job)
    try job.requireSame([("plan", try planIdentity(options))])
    let trainer = try job.communicator.agree { [options] () throws -> Trainer in
      if job.isFirst { try files.check() }
      let data = try dataArguments.load(seed: options.seed)
      let trainer = try Trainer(
        modelArguments.make(for: data), data: data, options: options, communicator: job.communicator)
      if job.isFirst { try files.checkRoom(trainer) }
      return trainer
    }
    let resumed = try files.restore(trainer, identity(options, trainer), job)
    guard trainer.engine.step <= trainer.totalSteps else {
      throw SharedError(
        "the checkpoint is of step \(trainer.engine.step), but this run has \(trainer.totalSteps) steps; raise --epochs or"
          + " --steps")
    }
    try job.announce(options, subject(trainer))
    if let resumed { job.print(resumed) }
    try train(trainer, job, identity(options, trainer))
  }

  private func train(_ trainer: Trainer, _ job: Job, _ identity: [String: String]) throws {
    let isComplete = trainer.engine.step == trainer.totalSteps
    if isComplete { job.print("the run is complete: nothing is left to train") }
    let progress = ProgressReport(totalSteps: trainer.totalSteps, stepsPerEpoch: trainer.stepsPerEpoch)
    let metrics = try job.communicator.agree {
      job.isFirst ? try files.metrics.map { try MetricsFile($0, after: files.resume ? trainer.engine.step : nil) } : nil
    }
    try trainer.train { event in
      if job.isFirst {
        progress.show(event)
        try metrics?.write(event)
      }
      if case .epoch = event { try files.checkpointFolder?.save(trainer, options: identity) }
    }
    try job.communicator.agree {
      if job.isFirst, let path = files.save { try trainer.model.write(to: path) }
    }
    if job.isFirst, !isComplete { progress.finish() }
  }

  private func subject(_ trainer: Trainer) -> String {
    "\(modelArguments.subject) on \(trainer.data.name), \(trainer.data.train.count) samples"
  }

  /// What all ranks must have been given alike.
  private func sharedOptions(_ options: TrainingOptions) -> [(name: String, value: String)] {
    runOptions(options) + [("threads", "\(options.threads)")] + arguments.lengthOptions + files.options
      + dataArguments.options
  }

  /// What a checkpoint's run must have in common with this one to end in the same bits.
  private func identity(_ options: TrainingOptions, _ trainer: Trainer) throws -> [String: String] {
    var identity = Dictionary(uniqueKeysWithValues: runOptions(options))
    identity["dataset"]! += " of \(trainer.data.train.count) samples \(trainer.data.shape)"
    identity["plan"] = try planIdentity(options)
    if options.schedule.shape == .cosine { identity["steps"] = "\(trainer.totalSteps)" }
    return identity
  }

  /// A plan's contents stand for it, wherever its file is.
  private func planIdentity(_ options: TrainingOptions) throws -> String {
    try options.kernels.map { "a file of \(Fingerprint.of([try $0.data]))" } ?? "unset"
  }

  /// The options that decide bits, by their names on the command line.
  private func runOptions(_ options: TrainingOptions) -> [(name: String, value: String)] {
    modelArguments.options + [("dataset", dataArguments.dataset)] + arguments.runOptions(options)
  }
}
