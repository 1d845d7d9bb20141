import Foundation
import Tensors

/// A command run as a child process in a group of its own, with its output in files and a watchdog.
struct Launch {
  var executable: String
  var arguments: [String]
  var environment: [String: String] = [:]
  /// The watchdog's patience.
  var seconds = 120.0

  /// What a command that has ended left behind.
  struct Outcome {
    /// The exit code; 128 + the signal if one ended it, as in a shell.
    let code: Int32
    let output: String
    let errors: String
    let seconds: Double

    var text: String { output + errors }

    /// How often `part` occurs in what was printed.
    func count(of part: String) -> Int { text.components(separatedBy: part).count - 1 }
  }

  /// Runs the command to its end.
  ///
  /// - Throws: `LockstepError` if it cannot be started, or the watchdog had to end it.
  func run() throws -> Outcome { try start().wait() }

  func start() throws -> RunningCommand { try RunningCommand(self) }
}

/// A command that may still be running.
final class RunningCommand {
  let processID: pid_t
  private let launch: Launch
  private let folder: TemporaryFolder
  private let start = ContinuousClock.now
  private var status: Int32?

  init(_ launch: Launch) throws {
    self.launch = launch
    folder = try TemporaryFolder()
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, folder.path("output"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, folder.path("errors"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    posix_spawnattr_setpgroup(&attributes, 0)
    let variables = ProcessInfo.processInfo.environment.merging(launch.environment) { $1 }
    let words = ([launch.executable] + launch.arguments).map { strdup($0) } + [nil]
    let settings = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in words + settings { free(text) } }
    var child: pid_t = 0
    let code = posix_spawnp(&child, launch.executable, &actions, &attributes, words, settings)
    guard code == 0 else {
      throw LockstepError("cannot start \(launch.executable): \(String(cString: strerror(code)))")
    }
    processID = child
  }

  deinit {
    if status == nil { end() }
  }

  /// What it has printed so far.
  var output: String { (try? String(contentsOfFile: folder.path("output"), encoding: .utf8)) ?? "" }
  private var errors: String { (try? String(contentsOfFile: folder.path("errors"), encoding: .utf8)) ?? "" }

  /// Waits for the command's end.
  func wait() throws -> Launch.Outcome {
    try poll("to end") { hasEnded }
    return Launch.Outcome(code: code, output: output, errors: errors, seconds: (.now - start) / .seconds(1))
  }

  /// Waits until the command has printed `text`, while it runs.
  func wait(for text: String) throws {
    try poll("to print \(text)") { output.contains(text) || hasEnded }
    guard output.contains(text) else { throw LockstepError("ended without printing \(text): \(output)\(errors)") }
  }

  /// The processes that this one started, and theirs.
  var descendants: [pid_t] { Self.children(of: processID).flatMap { [$0] + Self.children(of: $0) } }

  /// Whether a process computes still; one that is dead but not yet waited for does not.
  static func isAlive(_ process: pid_t) -> Bool {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/exe")) != nil
  }

  /// Kills the command and all that it started, and waits.
  func kill() throws {
    end()
    _ = try wait()
  }

  private func poll(_ purpose: String, until done: () -> Bool) throws {
    while !done() {
      if (.now - start) / .seconds(1) > launch.seconds {
        end()
        throw LockstepError(
          "waited \(launch.seconds) s for \(launch.executable) \(launch.arguments.joined(separator: " ")) \(purpose):"
            + " \(output)\(errors)")
      }
      usleep(5_000)
    }
  }

  private var hasEnded: Bool {
    if status != nil { return true }
    var code: Int32 = 0
    guard waitpid(processID, &code, WNOHANG) == processID else { return false }
    status = code
    return true
  }

  private var code: Int32 {
    guard let status else { return 0 }
    return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
  }

  /// mpirun's ranks have process groups of their own, so they are found through their parent.
  private func end() {
    let started = descendants
    _ = Foundation.kill(-processID, SIGKILL)
    for process in started { _ = Foundation.kill(process, SIGKILL) }
    var code: Int32 = 0
    if status == nil, waitpid(processID, &code, 0) == processID { status = code }
  }

  private static func children(of process: pid_t) -> [pid_t] {
    let lists = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
    return lists.flatMap { thread in
      ((try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/children", encoding: .utf8)) ?? "")
        .split(separator: " ").compactMap { pid_t($0) }
    }
  }
}

/// A folder that is gone with the value that names it.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("lockstep-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func path(_ name: String) -> String { "\(path)/\(name)" }

  func data(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path(name))) }

  func write(_ data: Data, to name: String) throws { try data.write(to: URL(fileURLWithPath: path(name))) }
}
