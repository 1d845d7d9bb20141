import Foundation
import Tensors
import Training

/// Metrics as JSON lines: one object per step, and one per evaluation.
///
///     {"step":1,"epoch":1,"loss":2.3,"learning_rate":0.1,"samples_per_second":812.4}
///     {"step":94,"epoch":1,"test_loss":0.31,"test_accuracy":0.9042}
public final class MetricsFile {
  private let path: String
  private let handle: FileHandle

  /// - Parameter step: for a resumed run, the step it goes on from: later ones, which it will take again, are dropped from
  ///   what is there. nil for a new run.
  public init(_ path: String, after step: Int?) throws {
    self.path = path
    if let step { try Self.dropLines(of: path, after: step) }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (step == nil ? O_TRUNC : 0), 0o644)
    guard descriptor >= 0 else {
      throw LockstepError("cannot write the metrics file \(path): \(systemReason())")
    }
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
  }

  private static func dropLines(of path: String, after step: Int) throws {
    struct Line: Decodable {
      let step: Int
    }
    guard !AtomicFile.isStream(path), let contents = FileManager.default.contents(atPath: path) else { return }
    let lines = contents.split(separator: newline)
    let kept = lines.filter { ((try? JSONDecoder().decode(Line.self, from: $0))?.step ?? .max) <= step }
    if kept.count < lines.count { try AtomicFile.write(kept.map { $0 + [newline] }, to: path) }
  }

  private static let newline = UInt8(ascii: "\n")

  /// JSON has no word for what is not finite.
  private static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }

  public func write(_ event: TrainingEvent) throws {
    let line: String
    switch event {
    case .step(let step):
      line =
        "{\"step\":\(step.step),\"epoch\":\(step.epoch + 1),\"loss\":\(Self.number(step.result.loss)),"
        + "\"learning_rate\":\(step.learningRate),\"samples_per_second\":\(Formats.fixed(step.samplesPerSecond, 1))}\n"
    case .epoch(let epoch):
      guard let test = epoch.test else { return }
      line =
        "{\"step\":\(epoch.step),\"epoch\":\(epoch.epoch + 1),\"test_loss\":\(Self.number(test.loss)),"
        + "\"test_accuracy\":\(Double(test.correct) / Double(test.count))}\n"
    }
    do {
      try handle.write(contentsOf: Data(line.utf8))
    } catch {
      throw LockstepError("cannot write the metrics file \(path): is the disk full?")
    }
  }
}
