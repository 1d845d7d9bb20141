import Collectives
import Foundation
import Kernels
import Layers
import Tensors

/// Going on from a checkpoint. The first rank reads, because it is the one that has written; its disk need not be shared.
extension CheckpointFolder {
  /// The newest checkpoint's folder, on every rank.
  private func newest(_ communicator: any Communicator) throws -> String? {
    try communicator.fromFirst { try latest().map { Data("\(path)/\($0)".utf8) } }
      .map { String(decoding: $0, as: UTF8.self) }
  }

  /// The newest checkpoint's kernels and slices, if they are not the usual ones; called by every rank.
  public func kernels(_ communicator: any Communicator) throws -> KernelPlan? {
    guard let folder = try newest(communicator) else { return nil }
    let file = "\(folder)/plan.json"
    let data = try communicator.fromFirst {
      FileManager.default.fileExists(atPath: file) ? try fileBytes(of: file) : nil
    }
    return try communicator.agree { try data.map { try KernelPlan($0, from: file) } }
  }

  /// Takes the newest checkpoint's state; called by every rank.
  ///
  /// - Returns: what decides bits and is different now, in words; nil if there is no checkpoint.
  /// - Throws: `SharedError` if it is damaged, of another model, or of a run with other options.
  public func restore(_ trainer: Trainer, options: [String: String]) throws -> [String]? {
    let engine = trainer.engine
    guard let folder = try newest(engine.communicator) else { return nil }
    func bytes(_ name: String) throws -> Data {
      try engine.communicator.fromFirst { try fileBytes(of: "\(folder)/\(name)") }!
    }
    let (run, model, velocities) = try (
      bytes("run.json"), bytes("model.safetensors"), bytes("optimizer.safetensors")
    )
    return try engine.communicator.agree {
      guard let run = try? JSONDecoder().decode(Run.self, from: run) else {
        throw LockstepError("\(folder)/run.json is damaged; remove \(path)/latest to start anew")
      }
      let source = "\(folder)/model.safetensors"
      try engine.take(Safetensors(model, from: source), from: source)
      try check(run, options, folder)
      let second = "\(folder)/optimizer.safetensors"
      try engine.takeVelocities(Safetensors(velocities, from: second), from: second)
      (engine.step, engine.batchesTracked) = (run.step, run.batches_tracked)
      return engine.conditions.sorted { $0.key < $1.key }.compactMap { name, value in
        guard let before = run.conditions?[name], before != value else { return nil }
        return "\(name): \(before) until now, \(value) from here on"
      }
    }
  }

  private func check(_ run: Run, _ options: [String: String], _ folder: String) throws {
    for name in Set(run.options.keys).union(options.keys).sorted() where run.options[name] != options[name] {
      throw LockstepError(
        "the checkpoint \(folder) was made with --\(name) \(run.options[name] ?? "unset"), this run has"
          + " \(options[name] ?? "unset"); resume with the same options, or start from it with --init")
    }
  }
}

extension Engine {
  /// What decides bits beside a run's options, by its name.
  var conditions: [String: String] {
    var conditions = ["instructions": InstructionSet.name]
    if plan.network.statistics.contains(.local) { conditions["workers with statistics of their own"] = "\(grid.workers)" }
    return conditions
  }
}
