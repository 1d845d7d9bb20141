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
/// replaced. The one before is kept. Without `latest`, the one of the highest step is the newest.
public struct CheckpointFolder: Sendable {
  /// The folder.
  public let path: String

  public init(_ path: String) {
    self.path = path
  }

  struct Run: Codable {
    let step: Int
    let batches_tracked: Int
    let options: [String: String]
    /// What decides bits too, but may change while a run pauses; earlier versions kept neither this nor fingerprints.
    let conditions: [String: String]?
    /// Of the files of parameters and velocities, by their names; `options` tells plans apart.
    let fingerprints: [String: String]?
  }

  /// The step of the newest checkpoint, if there is one.
  ///
  /// - Throws: `LockstepError` if `latest` is damaged: a run that may be there must not be overwritten.
  public func latestStep() throws -> Int? { try latest().map { Self.step(of: $0)! } }

  /// The name of the newest checkpoint.
  func latest() throws -> String? {
    let file = "\(path)/latest"
    guard FileManager.default.fileExists(atPath: file) else { return names.last }
    guard let data = FileManager.default.contents(atPath: file) else {
      throw LockstepError("cannot read \(file), which names the newest checkpoint; is there no permission?")
    }
    let name = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    guard Self.step(of: name) != nil else {
      throw LockstepError(
        "\(file) is damaged: it should name the newest checkpoint, as in step-00000120; write the name there, or"
          + " choose another folder")
    }
    return name
  }

  /// The names of all whole checkpoints, ascending.
  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { Self.step(of: $0) != nil }
      .sorted { Self.step(of: $0)! < Self.step(of: $1)! }
  }

  private static func name(ofStep step: Int) -> String {
    "step-" + String(repeating: "0", count: max(0, 8 - "\(step)".count)) + "\(step)"
  }

  /// The step of a checkpoint of that name; nil for whatever else is in the folder.
  private static func step(of name: String) -> Int? {
    guard name.hasPrefix("step-"), let step = Int(name.dropFirst("step-".count)), name == Self.name(ofStep: step) else {
      return nil
    }
    return step
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

  /// Checks that there is room for as many checkpoints as there will be at a time: two, and one that is being written.
  public func checkRoom(_ trainer: Trainer) throws {
    let missing = 3 - min(2, names.count)
    // A velocity for every parameter.
    try AtomicFile.checkRoom(
      bytes: missing * 2 * trainer.modelBytes, at: "\(path)/latest", for: "checkpoints in \(path)")
  }

  /// Writes a checkpoint; called by every rank, written by the first.
  ///
  /// - Parameter options: what decides the run's bits, to be compared on resuming.
  public func save(_ trainer: Trainer, options: [String: String]) throws {
    let engine = trainer.engine
    let velocities = try engine.velocities()
    try engine.communicator.agree {
      guard engine.communicator.rank == 0 else { return }
      try write(engine, velocities, options, trainer.options.kernels, Self.name(ofStep: engine.step))
    }
  }

  static let (model, velocities) = ("model.safetensors", "optimizer.safetensors")
  /// What the name of a folder ends in while it is written.
  private static let partial = ".partial"

  private func write(
    _ engine: Engine, _ velocities: Safetensors, _ options: [String: String], _ kernels: KernelPlan?, _ name: String
  ) throws {
    let partial = "\(path)/\(name)\(Self.partial)"
    let files = FileManager.default
    do {
      try? files.removeItem(atPath: partial)
      try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
      try engine.model.write(to: "\(partial)/\(Self.model)")
      try velocities.write(to: "\(partial)/\(Self.velocities)")
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try kernels?.write(to: "\(partial)/plan.json")
      let fingerprints = try [Self.model, Self.velocities].map { file in
        (file, Fingerprint.of([try fileBytes(of: "\(partial)/\(file)")]))
      }
      let run = Run(
        step: engine.step, batches_tracked: engine.batchesTracked, options: options, conditions: engine.conditions,
        fingerprints: Dictionary(uniqueKeysWithValues: fingerprints))
      try AtomicFile.write([encoder.encode(run)], to: "\(partial)/run.json")
      let previous = try latest()
      try? files.removeItem(atPath: "\(path)/\(name)")
      try files.moveItem(atPath: partial, toPath: "\(path)/\(name)")
      try AtomicFile.write([Data("\(name)\n".utf8)], to: "\(path)/latest")
      for old in try files.contentsOfDirectory(atPath: path) where old != name && old != previous {
        let stem = old.hasSuffix(Self.partial) ? String(old.dropLast(Self.partial.count)) : old
        if Self.step(of: stem) != nil { try? files.removeItem(atPath: "\(path)/\(old)") }
      }
    } catch let error as LockstepError {
      throw error
    } catch {
      throw LockstepError("cannot write the checkpoint \(path)/\(name): \(systemReason(error))")
    }
  }
}
