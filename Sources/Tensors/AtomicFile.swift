import Foundation

/// Files that appear whole or not at all.
public enum AtomicFile {
  /// Writes `chunks` to `path`: to a temporary file beside it, flushed to the disk, then renamed over it.
  ///
  /// - Throws: `LockstepError` naming the path and the system's reason. What was at `path` before is then untouched.
  public static func write(_ chunks: [Data], to path: String) throws {
    let temporary = path + ".partial"
    func failure(_ action: String) -> LockstepError {
      let reason = String(cString: strerror(errno))
      unlink(temporary)
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
    guard fsync(descriptor) == 0, close(descriptor) == 0 else { throw failure("flush") }
    guard rename(temporary, path) == 0 else { throw failure("replace") }
  }

  /// Checks that a file can be written at `path`, by making and removing a temporary one beside it.
  ///
  /// - Throws: `LockstepError` naming the path and the system's reason.
  public static func checkWritable(_ path: String) throws {
    let temporary = path + ".partial"
    let descriptor = open(temporary, O_WRONLY | O_CREAT, 0o644)
    guard descriptor >= 0 else {
      throw LockstepError("cannot write \(path): \(String(cString: strerror(errno)))")
    }
    close(descriptor)
    unlink(temporary)
    var isDirectory: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
      throw LockstepError("cannot write \(path): it is a directory")
    }
  }
}
