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
    let bytes = try ["run.json", Self.model, Self.velocities].map { name in
      try engine.communicator.fromFirst { try advising(folder) { try fileBytes(of: "\(folder)/\(name)") } }!
    }
    return try engine.communicator.agree {
      let contents = try advising(folder) {
        try Contents(run: bytes[0], model: bytes[1], velocities: bytes[2], in: folder)
      }
      try engine.take(contents.model, from: "\(folder)/\(Self.model)")
      try check(contents.run, options, folder)
      try engine.takeVelocities(contents.velocities, from: "\(folder)/\(Self.velocities)")
      (engine.step, engine.batchesTracked) = (contents.run.step, contents.run.batches_tracked)
      return engine.conditions.sorted { $0.key < $1.key }.compactMap { name, value in
        guard let before = contents.run.conditions?[name], before != value else { return nil }
        return "\(name): \(before) until now, \(value) from here on"
      }
    }
  }

  /// What a checkpoint's files hold.
  private struct Contents {
    let run: Run
    let model, velocities: Safetensors

    /// - Throws: `LockstepError` naming the file that is damaged.
    init(run: Data, model: Data, velocities: Data, in folder: String) throws {
      self.model = try Safetensors(model, from: "\(folder)/\(CheckpointFolder.model)")
      self.velocities = try Safetensors(velocities, from: "\(folder)/\(CheckpointFolder.velocities)")
      guard let run = try? JSONDecoder().decode(Run.self, from: run) else {
        throw LockstepError("\(folder)/run.json is damaged")
      }
      self.run = run
      for (name, bytes) in [(CheckpointFolder.model, model), (CheckpointFolder.velocities, velocities)] {
        if let fingerprint = run.fingerprints?[name], fingerprint != Fingerprint.of([bytes]) {
          throw LockstepError("\(folder)/\(name) is damaged: it is not what was written")
        }
      }
    }
  }

  /// Adds to an error about a damaged checkpoint which other one there is.
  private func advising<Result>(_ folder: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as LockstepError {
      let other = names.last { !folder.hasSuffix("/\($0)") }
      let advice = other.map { "write \($0), which is there too, into \(path)/latest to go on from it" }
      throw LockstepError("\(error); \(advice ?? "choose another folder to start anew")")
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
    if plan.network.statistics.contains(.local) {
      conditions["workers with statistics of their own"] = "\(grid.workers)"
    }
    return conditions
  }
}
