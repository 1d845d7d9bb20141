import Foundation
import Kernels
import Training

/// Where numbers come from: machine, program, command and day.
public struct RunFacts: Codable, Sendable {
  let command: String
  /// The day and time at which it ended, ISO 8601.
  let date: String
  let processor: String
  let processors: Int
  let instruction_set: String
  let ranks: Int
  let version: String
  /// oneDNN's version.
  let library: String

  /// The facts of this process.
  public init(version: String, ranks: Int) {
    let words = ["lockstep"] + CommandLine.arguments.dropFirst().map(Self.quoted)
    command = (ranks > 1 ? "mpirun -np \(ranks) " : "") + words.joined(separator: " ")
    date = Date().formatted(.iso8601)
    processor = InstructionSet.processor
    processors = Machine.processorCount
    instruction_set = InstructionSet.name
    self.ranks = ranks
    self.version = version
    library = InstructionSet.libraryVersion
  }

  /// By name, for readers.
  var rows: [(name: String, value: String)] {
    [
      ("Command", command), ("Date", date),
      ("Machine", "\(processor), \(Formats.count(processors, "CPU")), \(instruction_set)"),
      ("Version", "Lockstep \(version), \(library)"),
    ]
  }

  /// A word as a shell takes it.
  private static func quoted(_ word: String) -> String {
    let plain = word.allSatisfy { $0.isLetter || $0.isNumber || "-_./,:=+@%".contains($0) }
    return plain && !word.isEmpty ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
  }
}
