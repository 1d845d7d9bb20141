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

  /// - Parameter appends: keeps what is there, for a resumed run.
  public init(_ path: String, appends: Bool) throws {
    self.path = path
    if !appends || !FileManager.default.fileExists(atPath: path) {
      guard FileManager.default.createFile(atPath: path, contents: nil) else {
        throw LockstepError("cannot write the metrics file \(path)")
      }
    }
    guard let handle = FileHandle(forWritingAtPath: path) else {
      throw LockstepError("cannot write the metrics file \(path)")
    }
    self.handle = handle
    _ = try? handle.seekToEnd()
  }

  public func write(_ event: TrainingEvent) throws {
    let line: String
    switch event {
    case .step(let step):
      line =
        "{\"step\":\(step.step),\"epoch\":\(step.epoch + 1),\"loss\":\(step.result.loss),"
        + "\"learning_rate\":\(step.learningRate),\"samples_per_second\":\(Formats.fixed(step.samplesPerSecond, 1))}\n"
    case .epoch(let epoch):
      guard let test = epoch.test else { return }
      line =
        "{\"step\":\(epoch.step),\"epoch\":\(epoch.epoch + 1),\"test_loss\":\(test.loss),"
        + "\"test_accuracy\":\(Double(test.correct) / Double(test.count))}\n"
    }
    do {
      try handle.write(contentsOf: Data(line.utf8))
    } catch {
      throw LockstepError("cannot write the metrics file \(path): is the disk full?")
    }
  }
}
