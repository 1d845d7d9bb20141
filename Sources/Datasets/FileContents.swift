import CZlib
import Foundation
import Tensors

/// The bytes of a file, unpacked if they are gzip's.
///
/// - Throws: `LockstepError` naming the file and, if the packed data is damaged or ends early, the offset.
func contents(of path: String) throws -> [UInt8] {
  guard let file = gzopen(path, "rb") else {
    throw LockstepError("cannot read \(path): \(systemReason())")
  }
  defer { gzclose_r(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 20)
  while true {
    let count = gzread(file, &chunk, UInt32(chunk.count))
    var code: Int32 = Z_OK
    let message = gzerror(file, &code).map { String(cString: $0) } ?? ""
    switch code {
    case Z_OK, Z_STREAM_END: break
    case Z_BUF_ERROR:
      throw LockstepError(
        "\(path): offset \(gzoffset(file)): the file ends in the middle of its gzip data; get it again")
    case Z_ERRNO: throw LockstepError("cannot read \(path): \(systemReason())")
    default:
      let reason = message.replacing(path + ": ", with: "")
      throw LockstepError("\(path): offset \(gzoffset(file)): damaged gzip data (\(reason)); get it again")
    }
    guard count > 0 else { return bytes }
    bytes.append(contentsOf: chunk[..<Int(count)])
  }
}

/// A label as it is stored, checked.
///
/// - Throws: `LockstepError` naming the file, the sample, the label and the labels allowed.
func checkedLabel(_ label: Int, sample: Int, classCount: Int, in file: String) throws -> Int32 {
  guard label >= 0, label < classCount else {
    throw LockstepError("\(file): sample \(sample) has label \(label); expected 0 to \(classCount - 1)")
  }
  return Int32(label)
}
