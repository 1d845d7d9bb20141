import Foundation
import Tensors
import Testing

extension CommandTests {
  /// A checkpoint is taken by the run it belongs to and by no other, and is never overwritten by accident.
  @Suite struct CheckpointTests {
    let files: SampleFiles

    /// Leaves a checkpoint of two steps.
    init() throws {
      files = try SampleFiles()
      _ = try files.tensors(48, [1, 4, 4], to: "data")
      let outcome = try train(["--steps", "2"])
      guard outcome.code == 0 else { throw LockstepError(outcome.text) }
    }

    private func train(ranks: Int? = nil, _ arguments: [String], model: String = "mlp") throws -> Launch.Outcome {
      try Program.launch(
        ranks: ranks,
        [
          "train", "--model", model, "--dataset", "tensors", "--data", files.path("data"), "--batch-size", "24",
          "--threads", "1", "--checkpoint", files.path("checkpoint"),
        ] + arguments
      ).run()
    }

    /// The checkpoint's files and what they hold.
    private var contents: [String: Data] {
      get throws {
        let folder = files.path("checkpoint")
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder)
        return Dictionary(
          uniqueKeysWithValues: names.map { ($0, (try? files.folder.data("checkpoint/\($0)")) ?? Data()) })
      }
    }

    private func expectRefusal(
      _ arguments: [String], model: String = "mlp", _ error: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let before = try contents
      for ranks in [nil, 2] where ranks == nil || Program.mpirunExists {
        let outcome = try train(ranks: ranks, arguments, model: model)
        expectCleanFailure(outcome, error.replacing("@", with: files.folder.path), sourceLocation: sourceLocation)
        let isUntouched = try contents == before
        #expect(isUntouched, sourceLocation: sourceLocation)
      }
    }

    @Test func withoutResuming() throws {
      try expectRefusal(["--steps", "3"], "@/checkpoint holds a checkpoint of step 2; add --resume")
    }

    /// The first rank reads what it has written, for all: others need not see its disk.
    @Test(Program.needsMPI) func onADiskOfTheFirstRank() throws {
      try FileManager.default.createDirectory(atPath: files.path("elsewhere"), withIntermediateDirectories: true)
      let rank = [
        Program.path, "train", "--model", "mlp", "--dataset", "tensors", "--data", files.path("data"), "--batch-size",
        "24", "--threads", "1", "--steps", "5", "--checkpoint", "checkpoint", "--resume", "--save", "model",
      ]
      let outcome = try Program.launch(contexts: [
        ["-np", "1", "-wdir", files.folder.path] + rank, ["-np", "1", "-wdir", files.path("elsewhere")] + rank,
      ]).run()
      #expect(outcome.code == 0 && outcome.output.contains("resuming after step 2"), "\(outcome.text)")
      let alone = rank.dropFirst().map { $0 == "checkpoint" || $0 == "model" ? files.path("other-\($0)") : $0 }
      _ = try Program.launch(alone).run()
      #expect(try files.folder.data("model") == files.folder.data("other-model"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: files.path("elsewhere")) == [])
    }

    /// What the program has not made is not its to remove.
    @Test func besideOtherFiles() throws {
      let others = ["step-00000001.copy", "step-notes", "step-7"]
      for name in others { try files.folder.write(Data(), to: "checkpoint/\(name)") }
      _ = try train(["--steps", "3", "--resume"])
      _ = try train(["--steps", "4", "--resume"])
      let names = try FileManager.default.contentsOfDirectory(atPath: files.path("checkpoint"))
      #expect(Set(names) == Set(others + ["latest", "step-00000003", "step-00000004"]))
    }

    /// Local statistics depend on the number of workers: whoever goes on with another one hears of it.
    @Test func ofOtherWorkersWithStatisticsOfTheirOwn() throws {
      let arguments = ["--batch-norm", "local", "--checkpoint", files.path("local"), "--resume"]
      _ = try train(arguments + ["--steps", "1"])
      #expect(try train(arguments + ["--steps", "2"]).count(of: "warning: ") == 0)
      let outcome = try train(arguments + ["--steps", "3", "--threads", "2"])
      #expect(
        outcome.code == 0 && outcome.count(of: "of their own: 1 until now, 2 from here on") == 1, "\(outcome.text)")
    }

    @Test func ofAnotherModel() throws {
      try expectRefusal(
        ["--steps", "3", "--resume"], model: "mlp:32",
        "step-00000002/model.safetensors is of another model: its 1.weight is [100, 16], this model's [32, 16]")
    }

    @Test func ofAnotherRun() throws {
      try expectRefusal(
        ["--steps", "3", "--resume", "--learning-rate", "0.3"], "was made with --learning-rate 0.1, this run has 0.3")
      try expectRefusal(["--steps", "3", "--resume", "--seed", "7"], "was made with --seed 0, this run has 7")
      try expectRefusal(
        ["--steps", "3", "--resume", "--precision", "bf16"], "was made with --precision fp32, this run has bf16")
    }

    @Test func damaged() throws {
      let step = "checkpoint/step-00000002"
      let model = try files.folder.data("\(step)/model.safetensors")
      try files.folder.write(model.dropLast(4), to: "\(step)/model.safetensors")
      try expectRefusal(
        ["--steps", "3", "--resume"], "model.safetensors: offset \(model.count - 4): the file ends here, but ")
      try files.folder.write(model, to: "\(step)/model.safetensors")

      let run = try files.folder.data("\(step)/run.json")
      try files.folder.write(run.dropLast(4), to: "\(step)/run.json")
      try expectRefusal(["--steps", "3", "--resume"], "step-00000002/run.json is damaged")
      try files.folder.write(run, to: "\(step)/run.json")

      try FileManager.default.removeItem(atPath: files.path("\(step)/optimizer.safetensors"))
      try expectRefusal(["--steps", "3", "--resume"], "cannot read @/\(step)/optimizer.safetensors: ")
    }

    /// A number that is not what was written, which no format finds; the checkpoint before is named.
    @Test func damagedInANumber() throws {
      _ = try train(["--steps", "3", "--resume"])
      for file in ["model", "optimizer"].map({ "checkpoint/step-00000003/\($0).safetensors" }) {
        let whole = try files.folder.data(file)
        var damaged = whole
        damaged[damaged.count - 9] ^= 16
        try files.folder.write(damaged, to: file)
        try expectRefusal(
          ["--steps", "4", "--resume"],
          "@/\(file) is damaged: it is not what was written; write step-00000002, which is there too, into @/checkpoint/latest"
        )
        try files.folder.write(whole, to: file)
      }
      #expect(try train(["--steps", "4", "--resume"]).code == 0)
    }

    /// Whole checkpoints are found without the file that names one.
    @Test func namedByNothing() throws {
      _ = try train(["--steps", "12", "--resume"])
      try FileManager.default.removeItem(atPath: files.path("checkpoint/latest"))
      try expectRefusal(["--steps", "13"], "@/checkpoint holds a checkpoint of step 12; add --resume")
      let outcome = try train(["--steps", "13", "--resume"])
      #expect(outcome.code == 0 && outcome.output.contains("resuming after step 12"), "\(outcome.text)")
    }

    /// An epoch's averages say so if they miss its beginning.
    @Test func inTheMiddleOfAnEpoch() throws {
      #expect(try train(["--steps", "3", "--resume"]).count(of: " since step ") == 0)
      let outcome = try train(["--steps", "4", "--resume"])
      #expect(outcome.count(of: " since step 3  test loss ") == 1, "\(outcome.text)")
    }

    @Test func ofACompleteRun() throws {
      try expectRefusal(["--steps", "1", "--resume"], "the checkpoint is of step 2, but this run has 1 steps; raise ")
      let outcome = try train(["--steps", "2", "--resume", "--save", files.path("model")])
      #expect(outcome.code == 0 && outcome.output.contains("the run is complete"), "\(outcome.text)")
      #expect(
        try files.folder.data("model") == files.folder.data("checkpoint/step-00000002/model.safetensors"))
    }

    /// Neither a fresh start nor a resumption may take the run in the folder for none.
    @Test func namedByADamagedFile() throws {
      try files.folder.write(Data("st\n".utf8), to: "checkpoint/latest")
      try expectRefusal(["--steps", "3"], "@/checkpoint/latest is damaged")
      try expectRefusal(["--steps", "3", "--resume"], "@/checkpoint/latest is damaged")
      try files.folder.write(Data("step-00000001\n".utf8), to: "checkpoint/latest")
      try expectRefusal(["--steps", "3", "--resume"], "cannot read @/checkpoint/step-00000001/run.json")
    }

    /// One rank's failure in the middle of training ends the job; what was saved before stays.
    @Test func whileMetricsCannotBeWritten() throws {
      try FileManager.default.createSymbolicLink(atPath: files.path("metrics"), withDestinationPath: "/dev/full")
      try expectRefusal(
        ["--steps", "4", "--resume", "--metrics", files.path("metrics")], "cannot write the metrics file @/metrics")
    }
  }
}
