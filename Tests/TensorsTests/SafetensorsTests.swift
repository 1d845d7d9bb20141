import Foundation
import Tensors
import Testing

@Suite struct SafetensorsTests {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lockstep-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

  private func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  private var sample: Safetensors {
    var file = Safetensors()
    file["b.weight"] = Tensor([1, -2, 3.5, 4, 5, 6], shape: [2, 3])
    file["a"] = Tensor(type: .int64, shape: [], data: withUnsafeBytes(of: Int64(-7)) { Data($0) })
    file["\"quoted\"\n"] = Tensor(type: .uint8, shape: [0, 4], data: Data())
    file.metadata = ["step": "12", "format": "pt"]
    return file
  }

  @Test func roundTripKeepsEverything() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    try sample.write(to: path("x"))
    let read = try Safetensors(contentsOf: path("x"))
    #expect(read.tensors == sample.tensors)
    #expect(read.metadata == sample.metadata)
    #expect(read["a"]?.int64s == [-7])
    try sample.write(to: path("y"))
    #expect(FileManager.default.contentsEqual(atPath: path("x"), andPath: path("y")))
  }

  @Test func damagedFilesAreNamedWithTheOffset() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    try sample.write(to: path("whole"))
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path("whole")))
    let cases: [(Data, String)] = [
      (bytes.prefix(5), "offset 0: expected 8 bytes"),
      (bytes.prefix(60), "offset 0: the header should have"),
      (bytes.dropLast(3), "offset \(bytes.count - 3): the file ends here"),
      (Data(repeating: 0x20, count: 7) + [0] + bytes, "offset 0: the header should have"),
      (withUnsafeBytes(of: UInt64(16)) { Data($0) } + Data("{\"a\":12,        }".utf8), "offset 8"),
    ]
    for (data, expected) in cases {
      try data.write(to: URL(fileURLWithPath: path("damaged")))
      let error = #expect(throws: LockstepError.self) { try Safetensors(contentsOf: path("damaged")) }
      #expect(error?.description.contains(expected) == true, "\(error?.description ?? "") should contain \(expected)")
    }
    let missing = #expect(throws: LockstepError.self) { try Safetensors(contentsOf: path("missing")) }
    #expect(missing?.description.contains("missing") == true)
  }

  @Test func aFailedWriteLeavesTheOldFile() throws {
    #expect(throws: LockstepError.self) { try sample.write(to: path("no/such/folder")) }
    #expect(throws: LockstepError.self) { try AtomicFile.checkWritable(path("no/such/folder")) }
    #expect(throws: LockstepError.self) { try AtomicFile.checkWritable(folder.path) }
  }
}
