import Foundation
import Tensors
import Testing

/// What is not a file of its own stays what it is.
@Suite final class AtomicFileTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lockstep-\(UUID().uuidString)")
    .path

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func contents(_ name: String) -> String? {
    FileManager.default.contents(atPath: "\(folder)/\(name)").map { String(decoding: $0, as: UTF8.self) }
  }

  /// To a file, and to one that is yet to be.
  @Test func links() throws {
    let files = FileManager.default
    try files.createDirectory(atPath: "\(folder)/there", withIntermediateDirectories: true)
    try Data("before".utf8).write(to: URL(fileURLWithPath: "\(folder)/there/old"))
    for (link, target) in [("a", "there/old"), ("b", "\(folder)/there/new"), ("c", "b")] {
      try files.createSymbolicLink(atPath: "\(folder)/\(link)", withDestinationPath: target)
      try AtomicFile.checkWritable("\(folder)/\(link)")
      try AtomicFile.write([Data(link.utf8)], to: "\(folder)/\(link)")
      #expect(try files.destinationOfSymbolicLink(atPath: "\(folder)/\(link)") == target)
    }
    #expect(contents("there/old") == "a" && contents("there/new") == "c")
    #expect(try files.contentsOfDirectory(atPath: "\(folder)/there").count == 2)
  }

  @Test func pipes() throws {
    let pipe = "\(folder)/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    let reader = open(pipe, O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    try AtomicFile.checkWritable(pipe)
    try AtomicFile.write([Data("one ".utf8), Data("two".utf8)], to: pipe)
    var bytes = [UInt8](repeating: 0, count: 100)
    #expect(String(decoding: bytes[..<max(0, read(reader, &bytes, 100))], as: UTF8.self) == "one two")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["pipe"])
  }

  @Test func room() throws {
    try AtomicFile.checkRoom(bytes: 1, at: "\(folder)/new", for: "a byte")
    let error = #expect(throws: LockstepError.self) {
      try AtomicFile.checkRoom(bytes: Int.max, at: "\(folder)/new", for: "all")
    }
    #expect(error?.description.hasPrefix("all will take \(Int.max) bytes, but there are ") == true)
  }
}
