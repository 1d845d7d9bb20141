import ArgumentParser
import Collectives
import Layers
import Tensors
import Training

struct FileArguments: ParsableArguments {
  @Option(
    name: .customLong("init"),
    help: ArgumentHelp("Start from these parameters, named as PyTorch names them.", valueName: "file.safetensors"))
  var initial: String?

  @Option(help: ArgumentHelp("Write the trained parameters here.", valueName: "file.safetensors"))
  var save: String?

  @Option(
    help: ArgumentHelp("Keep in this folder, after every epoch, all that is needed to go on.", valueName: "folder"))
  var checkpoint: String?

  @Flag(help: "Go on from the newest checkpoint in the folder, if there is one.")
  var resume = false

  @Option(help: ArgumentHelp("Write a line of JSON per step and per evaluation here.", valueName: "file.jsonl"))
  var metrics: String?

  @Option(
    help: ArgumentHelp("Take kernels and slices from a file that lockstep tune wrote.", valueName: "file.json"))
  var plan: String?

  /// The kernels and slices: those asked for, or those of the checkpoint to go on from.
  func kernels(_ job: Job) throws -> KernelPlan? {
    if let plan { return try job.communicator.agree { try KernelPlan(contentsOf: plan) } }
    return resume ? try checkpointFolder?.kernels(job.communicator) : nil
  }

  func validate() throws {
    if resume, checkpoint == nil { throw ValidationError("--resume needs --checkpoint, the folder to resume from.") }
  }

  var checkpointFolder: CheckpointFolder? { checkpoint.map { CheckpointFolder($0) } }

  /// Finds out before training whether what comes after it can be written, by the first rank.
  func check() throws {
    if let save { try AtomicFile.checkWritable(save) }
    if let metrics { try AtomicFile.checkWritable(metrics) }
    guard let checkpointFolder else { return }
    try checkpointFolder.prepare()
    if let step = try checkpointFolder.latestStep(), !resume {
      throw LockstepError(
        "\(checkpointFolder.path) holds a checkpoint of step \(step); add --resume to go on from it,"
          + " or choose another folder")
    }
  }

  /// Finds out whether there is room for it.
  func checkRoom(_ trainer: Trainer) throws {
    if let save { try AtomicFile.checkRoom(bytes: trainer.modelBytes, at: save, for: save) }
    try checkpointFolder?.checkRoom(trainer)
  }

  /// Takes the state that training starts from.
  ///
  /// - Returns: a line that says so.
  func restore(_ trainer: Trainer, _ identity: [String: String], _ job: Job) throws -> String? {
    if resume, let checkpointFolder, let changes = try checkpointFolder.restore(trainer, options: identity) {
      let warnings = changes.map { "\nwarning: \($0); the model will be another than without the pause" }
      return "resuming after step \(trainer.engine.step)" + warnings.joined()
    }
    if let initial { try job.initialize(trainer, from: initial) }
    return resume ? "no checkpoint in \(checkpoint ?? "") yet: starting from the beginning" : nil
  }

  var options: [(name: String, value: String)] {
    [
      ("init", initial ?? "unset"), ("save", save ?? "unset"), ("checkpoint", checkpoint ?? "unset"),
      ("resume", "\(resume)"), ("metrics", metrics ?? "unset"),
    ]
  }
}
