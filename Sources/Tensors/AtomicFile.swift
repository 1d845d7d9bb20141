import Foundation

/// Files that appear whole or not at all.
///
/// A link stays one, and what it names is written. Pipes and devices are written to as they are.
public enum AtomicFile {
  /// Writes `chunks` to `path`: to a temporary file beside it, flushed to the disk, then renamed over it.
  ///
  /// - Throws: `LockstepError` naming the path and the system's reason. What was at `path` before is then untouched.
  public static func write(_ chunks: [Data], to path: String) throws {
    let (target, isStream) = (target(path), isStream(path))
    let temporary = isStream ? path : target + partial
    func failure(_ action: String) -> LockstepError {
      let reason = systemReason()
      if !isStream { unlink(temporary) }
      return LockstepError("cannot \(action) \(path): \(reason)")
    }
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw failure("write") }
    for chunk in chunks {
      var written = 0
      while written < chunk.count {
        let count = chunk.withUnsafeBytes {
          Foundation.write(descriptor, $0.baseAddress! + written, $0.count - written)
        }
        guard count > 0 else {
          let error = failure("write")
          close(descriptor)
          throw error
        }
        written += count
      }
    }
    guard isStream || fsync(descriptor) == 0, close(descriptor) == 0 else { throw failure("flush") }
    guard isStream || rename(temporary, target) == 0 else { throw failure("replace") }
  }

  /// Checks that a file can be written at `path`, by making and removing a temporary one beside it.
  ///
  /// - Throws: `LockstepError` naming the path and the system's reason.
  public static func checkWritable(_ path: String) throws {
    if isStream(path) {
      guard access(path, W_OK) == 0 else { throw LockstepError("cannot write \(path): \(systemReason())") }
      return
    }
    let temporary = target(path) + partial
    let descriptor = open(temporary, O_WRONLY | O_CREAT, 0o644)
    guard descriptor >= 0 else { throw LockstepError("cannot write \(path): \(systemReason())") }
    close(descriptor)
    unlink(temporary)
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
      throw LockstepError("cannot write \(path): it is a directory")
    }
  }

  /// Checks that a disk has room for so many bytes more.
  ///
  /// - Parameters:
  ///   - path: a file that is or will be there.
  ///   - name: what takes them, for errors.
  /// - Throws: `LockstepError` with the name and both numbers.
  public static func checkRoom(bytes: Int, at path: String, for name: String) throws {
    let folder = URL(fileURLWithPath: target(path)).deletingLastPathComponent().path
    var facts = statvfs()
    guard !isStream(path), statvfs(folder, &facts) == 0 else { return }
    let free = UInt64(facts.f_bavail) * UInt64(facts.f_frsize)
    guard free >= UInt64(bytes) else {
      throw LockstepError("\(name) will take \(bytes) bytes, but there are \(free) left on that disk")
    }
  }

  /// What the name of a file ends in while it is written.
  private static let partial = ".partial"

  /// Where a link leads, even if nothing is there yet; the system follows as many.
  private static func target(_ path: String, links: Int = 40) -> String {
    guard links > 0, let next = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else { return path }
    return target(URL(fileURLWithPath: next, relativeTo: URL(fileURLWithPath: path)).path, links: links - 1)
  }

  /// Whether there is a pipe or a device of that name, which keeps nothing.
  package static func isStream(_ path: String) -> Bool {
    var facts = stat()
    return stat(path, &facts) == 0 && ![S_IFREG, S_IFDIR].contains(facts.st_mode & S_IFMT)
  }
}
