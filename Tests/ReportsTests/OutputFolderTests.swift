import Foundation
import Reports
import Tensors
import Testing

struct OutputFolderTests {
  private let path = FileManager.default.temporaryDirectory.appendingPathComponent("lockstep-\(UUID().uuidString)").path

  private func folder(_ model: String = "mlp") -> OutputFolder {
    OutputFolder(path, options: [("model", model)], facts: RunFacts(version: "0", ranks: 1))
  }

  @Test func goingOn() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(try folder().open([Int].self, resumes: false) == nil)
    #expect(try folder().open([Int].self, resumes: true) == nil)
    try folder().write(Page("", lead: ""), [1, 2])
    #expect(try folder().open([Int].self, resumes: true) == [1, 2])
    func error(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    #expect(error { _ = try folder().open([Int].self, resumes: false) }.contains("add --resume"))
    #expect(error { _ = try folder("vgg11").open([Int].self, resumes: true) }.contains("--model mlp, not of vgg11"))
    #expect(error { _ = try folder().open([String].self, resumes: true) }.contains("cannot be gone on from"))
    try "{".write(toFile: path + "/results.json", atomically: true, encoding: .utf8)
    #expect(error { _ = try folder().open([Int].self, resumes: true) }.contains("damaged"))
  }

  @Test func aFolderThatCannotBeMade() throws {
    let output = OutputFolder("/proc/none", options: [], facts: RunFacts(version: "0", ranks: 1))
    #expect(throws: LockstepError.self) { _ = try output.open([Int].self, resumes: false) }
  }
}
