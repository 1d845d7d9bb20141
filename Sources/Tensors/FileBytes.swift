import Foundation

/// A file's bytes.
///
/// - Throws: `LockstepError` naming the file and the system's reason.
package func fileBytes(of path: String) throws -> Data {
  do {
    return try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
  } catch {
    throw LockstepError("cannot read \(path): \(systemReason(error, path))")
  }
}

/// The system's short reason for a failed call.
package func systemReason(_ error: any Error, _ path: String) -> String {
  var isDirectory: ObjCBool = false
  if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
    return "it is a directory"
  }
  let error = error as NSError
  let underlying = error.userInfo[NSUnderlyingErrorKey] as? NSError ?? error
  if underlying.domain == NSPOSIXErrorDomain { return String(cString: strerror(Int32(underlying.code))) }
  return error.code == CocoaError.fileReadNoSuchFile.rawValue ? "no such file" : error.localizedDescription
}
