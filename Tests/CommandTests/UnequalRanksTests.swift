import Foundation
import Tensors
import Testing

extension CommandTests {
  /// Ranks that were not launched alike say so, and none waits for another.
  @Suite(Program.needsMPI) struct UnequalRanksTests {
    let files: SampleFiles
    let arguments: [String]

    init() throws {
      files = try SampleFiles()
      let data = try files.tensors(48, [1, 4, 4], to: "data")
      arguments = [
        "train", "--model", "mlp", "--dataset", "tensors", "--data", data, "--batch-size", "24", "--threads", "1",
      ]
    }

    private func expectError(
      _ first: [String], _ second: [String], _ error: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let outcome = try Program.launch(contexts: [["-np", "1"] + first, ["-np", "1"] + second]).run()
      expectCleanFailure(outcome, error, sourceLocation: sourceLocation)
    }

    @Test func differentOptions() throws {
      func expect(_ first: [String], _ second: [String], _ error: String) throws {
        try expectError([Program.path] + arguments + first, [Program.path] + arguments + second, error)
      }
      try expect(["--steps", "2"], ["--steps", "3"], "--steps is 2 on rank 0, but 3 on rank 1")
      try expect([], ["--batch-norm", "local"], "--batch-norm is sync on rank 0, but local on rank 1")
      try expect(["--classes", "12"], [], "--classes is 12 on rank 0, but unset on rank 1")
      try expect([], ["--save", files.path("x")], "--save is unset on rank 0, but \(files.path("x")) on rank 1")
      try expect([], ["--no-such-option"], "Unknown option '--no-such-option'")
    }

    @Test func differentNetworksInspected() throws {
      let inspect = [Program.path, "inspect", "--shape", "1,4,4", "--model"]
      try expectError(inspect + ["mlp"], inspect + ["mlp:8"], "--model is mlp on rank 0, but mlp:8 on rank 1")
    }

    /// Parameters would lie elsewhere, or sums be rounded otherwise.
    @Test func differentInstructions() throws {
      try expectError(
        [Program.path] + arguments, ["-x", "ONEDNN_MAX_CPU_ISA=SSE41", Program.path] + arguments,
        "rank 1 computes with SSE4.1, oneDNN ")
    }

    @Test func differentSubcommands() throws {
      try expectError(
        [Program.path] + arguments, [Program.path, "inspect"],
        "different subcommands: train on rank 0, but inspect on rank 1")
      try expectError(
        [Program.path, "evaluate", "--init", "x"], [Program.path] + arguments,
        "different subcommands: evaluate on rank 0, but train on rank 1")
    }

    @Test(arguments: [1, 8]) func differentBuilds(excess: Int) throws {
      let other = files.path("other")
      try FileManager.default.copyItem(atPath: Program.path, toPath: other)
      let handle = try #require(FileHandle(forWritingAtPath: other))
      try handle.seekToEnd()
      try handle.write(contentsOf: Data(count: excess))
      try handle.close()
      try expectError(
        [Program.path] + arguments, [other] + arguments, "rank 1 runs another build of lockstep than rank 0")
    }

    /// A file that one host alone lacks.
    @Test func aFileOnOneHostOnly() throws {
      try FileManager.default.createDirectory(atPath: files.path("empty"), withIntermediateDirectories: true)
      let relative = arguments.map { $0 == files.path("data") ? "data" : $0 }
      try expectError(
        ["-wdir", files.folder.path, Program.path] + relative, ["-wdir", files.path("empty"), Program.path] + relative,
        "lockstep: rank 1: cannot read data: ")
    }
  }
}
