import Foundation
import Testing

/// The program as its users meet it: child processes, alone and under mpirun.
///
/// Serialized, all suites together: every test computes on all CPUs.
@Suite(.serialized, .enabled(if: Program.exists, "the program lockstep is not beside the tests"))
struct CommandTests {}

/// The program under test.
enum Program {
  /// SwiftPM builds it into the folder of the test bundle, which is what runs now.
  private static let folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().path
  static let path = "\(folder)/lockstep"
  static let exists = FileManager.default.isExecutableFile(atPath: path)

  static let mpirunExists = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    .contains { FileManager.default.isExecutableFile(atPath: "\($0)/mpirun") }
  static let needsMPI = ConditionTrait.enabled(if: mpirunExists, "mpirun is not installed")

  /// Starts a command whose processes have numbers of their own.
  static let unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
  static let canUnshare = ConditionTrait.enabled("this user must not make PID namespaces") {
    try Launch(executable: unshare[0], arguments: unshare.dropFirst() + ["true"]).run().code == 0
  }

  /// The program alone, or as the ranks of a job.
  static func launch(ranks: Int? = nil, _ arguments: [String]) -> Launch {
    guard let ranks else { return Launch(executable: path, arguments: arguments) }
    return launch(contexts: [["-np", "\(ranks)", path] + arguments])
  }

  /// Ranks that are launched differently.
  ///
  /// - Parameter contexts: mpirun's arguments, the program and its arguments, for each kind of rank.
  static func launch(contexts: [[String]]) -> Launch {
    let root = geteuid() == 0 ? ["--allow-run-as-root"] : []
    return Launch(
      executable: "mpirun",
      arguments: ["--oversubscribe", "--bind-to", "none"] + root + Array(contexts.joined(separator: [":"])),
      environment: ["OMPI_MCA_btl_vader_single_copy_mechanism": "none"])
  }
}
