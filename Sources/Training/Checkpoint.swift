import Collectives
import Foundation
import Layers
import Tensors

/// A folder of checkpoints: everything needed to go on with a run, on any ranks x threads.
///
///     DIR/latest                       the name of the newest whole checkpoint
///     DIR/step-00000120/model.safetensors       parameters and running statistics
///     DIR/step-00000120/optimizer.safetensors   velocities, under the names of their parameters
///     DIR/step-00000120/run.json                the step, and the options that decide bits
///     DIR/step-00000120/plan.json               kernels and slices, if they are not the usual ones
///
/// A checkpoint appears whole or not at all: its folder is written under another name and renamed, then `latest` is
/// replaced. The one before is kept.
public struct CheckpointFolder: Sendable {
  /// The folder.
  public let path: String

  public init(_ path: String) {
    self.path = path
  }

  private struct Run: Codable {
    let step: Int
    let batches_tracked: Int
    let options: [String: String]
  }

  /// The step of the newest checkpoint, if there is one.
  ///
  /// - Throws: `LockstepError` if `latest` is damaged: a run that may be there must not be overwritten.
  public func latestStep() throws -> Int? {
    guard let latest else { return nil }
    guard latest.hasPrefix("step-"), let step = Int(latest.dropFirst("step-".count)) else {
      throw LockstepError(
        "\(path)/latest is damaged: it should name the newest checkpoint, as in step-00000120; write the name there, or"
          + " choose another folder")
    }
    return step
  }

  private var latest: String? {
    FileManager.default.contents(atPath: "\(path)/latest").map {
      String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }

  /// Makes the folder and checks that it can be written.
  public func prepare() throws {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw LockstepError("cannot make the checkpoint folder \(path): is there a file of that name, or no permission?")
    }
    try AtomicFile.checkWritable("\(path)/latest")
  }

  /// Writes a checkpoint; called by every rank, written by the first.
  ///
  /// - Parameter options: what decides the run's bits, to be compared on resuming.
  public func save(_ trainer: Trainer, options: [String: String]) throws {
    let engine = trainer.engine
    let velocities = try engine.velocities()
    try engine.communicator.agree {
      guard engine.communicator.rank == 0 else { return }
      let name = "step-" + String(repeating: "0", count: max(0, 8 - "\(engine.step)".count)) + "\(engine.step)"
      try write(engine, velocities, options, trainer.options.kernels, name)
    }
  }

  private func write(
    _ engine: Engine, _ velocities: Safetensors, _ options: [String: String], _ kernels: KernelPlan?, _ name: String
  ) throws {
    let partial = "\(path)/\(name).partial"
    let files = FileManager.default
    do {
      try? files.removeItem(atPath: partial)
      try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
      try engine.model.write(to: "\(partial)/model.safetensors")
      try velocities.write(to: "\(partial)/optimizer.safetensors")
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      let run = Run(step: engine.step, batches_tracked: engine.batchesTracked, options: options)
      try AtomicFile.write([encoder.encode(run)], to: "\(partial)/run.json")
      try kernels?.write(to: "\(partial)/plan.json")
      let previous = latest
      try? files.removeItem(atPath: "\(path)/\(name)")
      try files.moveItem(atPath: partial, toPath: "\(path)/\(name)")
      try AtomicFile.write([Data("\(name)\n".utf8)], to: "\(path)/latest")
      for old in try files.contentsOfDirectory(atPath: path)
      where old.hasPrefix("step-") && old != name && old != previous {
        try? files.removeItem(atPath: "\(path)/\(old)")
      }
    } catch let error as LockstepError {
      throw error
    } catch {
      throw LockstepError("cannot write the checkpoint \(path)/\(name): \(error.localizedDescription)")
    }
  }

  /// The newest checkpoint's kernels and slices, if they are not the usual ones.
  public func kernels() throws -> KernelPlan? {
    guard let latest else { return nil }
    let file = "\(path)/\(latest)/plan.json"
    return FileManager.default.fileExists(atPath: file) ? try KernelPlan(contentsOf: file) : nil
  }

  /// Takes the newest checkpoint's state.
  ///
  /// - Returns: false if there is none.
  /// - Throws: `LockstepError` if it is damaged, of another model, or of a run with other options.
  public func restore(_ trainer: Trainer, options: [String: String]) throws -> Bool {
    guard let latest else { return false }
    let folder = "\(path)/\(latest)"
    guard let data = FileManager.default.contents(atPath: "\(folder)/run.json") else {
      throw LockstepError("cannot read \(folder)/run.json, which \(path)/latest names")
    }
    guard let run = try? JSONDecoder().decode(Run.self, from: data) else {
      throw LockstepError("\(folder)/run.json is damaged; remove \(path)/latest to start anew")
    }
    let model = try Safetensors(contentsOf: "\(folder)/model.safetensors")
    let velocities = try Safetensors(contentsOf: "\(folder)/optimizer.safetensors")
    let engine = trainer.engine
    try engine.take(model, from: "\(folder)/model.safetensors")
    for name in Set(run.options.keys).union(options.keys).sorted() where run.options[name] != options[name] {
      throw LockstepError(
        "the checkpoint \(folder) was made with --\(name) \(run.options[name] ?? "unset"), this run has"
          + " \(options[name] ?? "unset"); resume with the same options, or start from it with --init")
    }
    try engine.takeVelocities(velocities, from: "\(folder)/optimizer.safetensors")
    engine.step = run.step
    engine.batchesTracked = run.batches_tracked
    return true
  }
}
