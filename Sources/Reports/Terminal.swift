import Foundation

/// Where the program's output goes.
public enum Terminal {
  /// Whether a person is looking: standard output ends on a terminal.
  ///
  /// mpirun gives its ranks a terminal of its own whatever it does with their output, so under it the question is put to
  /// mpirun's standard output.
  public static let isInteractive: Bool = {
    guard isatty(STDOUT_FILENO) == 1 else { return false }
    guard ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"] != nil else { return true }
    let launcherOutput = "/proc/\(getppid())/fd/1"
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: launcherOutput)
    return target?.hasPrefix("/dev/pts/") == true || target?.hasPrefix("/dev/tty") == true
  }()

  /// Characters per line.
  public static let width: Int = {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }()

  /// Prints without buffering. What cannot be printed is lost: a full disk below a log must not end the training.
  public static func write(_ text: String) {
    try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
  }

  /// Prints an error.
  public static func writeError(_ text: String) {
    try? FileHandle.standardError.write(contentsOf: Data("\(text)\n".utf8))
  }
}
