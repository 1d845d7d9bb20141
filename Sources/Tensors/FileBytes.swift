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

/// The system's short reason why it refused a call on a file, which may turn out to be a folder.
package func systemReason(_ error: any Error, _ path: String) -> String {
  var isDirectory: ObjCBool = false
  if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
    return "it is a directory"
  }
  return systemReason(error)
}

/// The system's short reason for a failed call.
package func systemReason(_ error: any Error) -> String {
  let error = error as NSError
  let underlying = error.userInfo[NSUnderlyingErrorKey] as? NSError ?? error
  if underlying.domain == NSPOSIXErrorDomain { return systemReason(Int32(underlying.code)) }
  return error.code == CocoaError.fileReadNoSuchFile.rawValue ? "no such file" : error.localizedDescription
}

/// The same by its number, that of the last failed call if no other is given.
package func systemReason(_ number: Int32 = errno) -> String { String(cString: strerror(number)) }
