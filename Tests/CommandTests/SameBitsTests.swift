import Foundation
import Tensors
import Testing

extension CommandTests {
  /// The first promise, with real processes: the saved model does not depend on ranks and threads.
  ///
  /// Models are compared outside of `#expect`, which would look for the shortest edit between two that differ.
  @Suite(Program.needsMPI) struct SameBitsTests {
    static let layouts = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3), (4, 1), (5, 1)]
    let files: SampleFiles

    init() throws { files = try SampleFiles() }

    /// Trains and returns the saved model's bytes.
    private func train(_ layout: (ranks: Int, threads: Int), _ arguments: [String]) throws -> Data {
      let save = files.path("saved.safetensors")
      try? FileManager.default.removeItem(atPath: save)
      let outcome = try Program.launch(
        ranks: layout.ranks == 1 ? nil : layout.ranks,
        ["train", "--threads", "\(layout.threads)", "--save", save] + arguments
      ).run()
      guard outcome.code == 0 else { throw LockstepError("exit code \(outcome.code): \(outcome.text)") }
      return try files.folder.data("saved.safetensors")
    }

    private func expectSameBits(_ arguments: [String]) throws {
      let reference = try train((1, 1), arguments)
      for layout in Self.layouts {
        let isSame = try train(layout, arguments) == reference
        #expect(isSame, "\(layout.0) ranks x \(layout.1) threads")
      }
    }

    /// The last batch of an epoch has 3 samples, so that five of its shards are empty.
    @Test func perceptronWithDropout() throws {
      let data = try files.tensors(103, [1, 6, 5], to: "data")
      try expectSameBits([
        "--model", "mlp", "--dataset", "tensors", "--data", data, "--batch-size", "50", "--shards", "8", "--steps", "8",
        "--dropout", "0.2",
      ])
    }

    /// Containers keep ranks of one machine apart: they cannot share memory, and everything travels. Two of the ranks here
    /// are in a container.
    @Test(Program.canUnshare) func ranksKeptApart() throws {
      let data = try files.tensors(103, [1, 6, 5], to: "data")
      func arguments(_ save: String) -> [String] {
        [
          Program.path, "train", "--threads", "1", "--save", files.path(save), "--model", "mlp", "--dataset", "tensors",
          "--data", data, "--batch-size", "50", "--shards", "8", "--steps", "8",
        ]
      }
      for (name, apart) in [("together", []), ("apart", Program.unshare)] {
        var launch = Program.launch(contexts: [
          ["-np", "2"] + arguments(name), ["-np", "2"] + apart + arguments(name),
        ])
        // Messages through shared memory would take for granted what is not there.
        launch.environment["OMPI_MCA_btl"] = "tcp,self"
        let outcome = try launch.run()
        #expect(outcome.code == 0, "\(outcome.text)")
      }
      let isSame = try files.folder.data("together") == files.folder.data("apart")
      #expect(isSame)
    }

    @Test func residualNetworkWithDropout() throws {
      let data = try files.tensors(103, [3, 12, 12], to: "data")
      try expectSameBits([
        "--model", "resnet20", "--dataset", "tensors", "--data", data, "--batch-size", "50", "--shards", "8",
        "--steps", "4", "--dropout", "0.1", "--weight-decay", "1e-3", "--schedule", "step:1", "--warmup-epochs", "0.5",
      ])
    }

    @Test(arguments: ["mlp", "resnet20"]) func augmentation(model: String) throws {
      let data = try files.mnist(77, to: "mnist")
      try expectSameBits([
        "--model", model, "--dataset", "mnist", "--data", data, "--batch-size", "24", "--shards", "8", "--steps", "5",
        "--augment",
      ])
    }

    /// Groups of 16 samples, across shards and workers; the last batch has 13 in all.
    @Test func ghostBatchNorm() throws {
      let data = try files.tensors(109, [3, 12, 12], to: "data")
      try expectSameBits([
        "--model", "resnet20", "--dataset", "tensors", "--data", data, "--batch-size", "48", "--shards", "8",
        "--steps", "4", "--batch-norm", "ghost:16",
      ])
    }

    /// What N-sample workers compute with their own statistics is what one worker computes with those of N samples.
    @Test(arguments: [(2, 1, 12), (2, 2, 6), (4, 1, 6), (1, 4, 6)])
    func localIsGhost(ranks: Int, threads: Int, samplesPerWorker: Int) throws {
      let data = try files.tensors(96, [3, 12, 12], to: "data")
      func train(_ layout: (Int, Int), _ statistics: String) throws -> Data {
        try self.train(
          layout,
          [
            "--model", "resnet20", "--dataset", "tensors", "--data", data, "--batch-size", "24", "--shards", "8",
            "--steps", "6", "--batch-norm", statistics,
          ])
      }
      let local = try train((ranks, threads), "local")
      let ghost = try train((1, 1), "ghost:\(samplesPerWorker)")
      let isSame = local == ghost
      #expect(isSame)
      let isOther = try train((1, 1), "sync") != local
      #expect(isOther)
    }

    @Test(arguments: ["group", "layer"]) func sampleNorms(norm: String) throws {
      let data = try files.tensors(103, [3, 12, 12], to: "data")
      try expectSameBits([
        "--model", "resnet20", "--dataset", "tensors", "--data", data, "--batch-size", "50", "--shards", "8",
        "--steps", "3", "--norm", norm,
      ])
    }

    @Test func bfloat16() throws {
      let data = try files.tensors(103, [3, 12, 12], to: "data")
      try expectSameBits([
        "--model", "resnet20", "--dataset", "tensors", "--data", data, "--batch-size", "50", "--shards", "8",
        "--steps", "3", "--precision", "bf16",
      ])
    }

    @Test func resumingOnAnotherLayout() throws {
      let data = try files.tensors(103, [1, 6, 5], to: "data")
      let arguments = [
        "--model", "mlp", "--dataset", "tensors", "--data", data, "--batch-size", "50", "--shards", "8",
        "--dropout", "0.2",
      ]
      let reference = try train((1, 1), arguments + ["--steps", "11"])
      let files = ["--checkpoint", files.path("checkpoint"), "--metrics", files.path("metrics")]
      let half = try train((2, 2), arguments + files + ["--steps", "5"])
      let isUnfinished = half != reference
      #expect(isUnfinished)
      let whole = try train((3, 1), arguments + files + ["--steps", "11", "--resume"])
      let isWhole = whole == reference
      #expect(isWhole)
      let steps = try metrics().filter { $0["loss"] != nil }.compactMap { $0["step"] as? Int }
      #expect(steps == Array(1...11))
    }

    /// A rank that dies ends the job, and takes nothing with it.
    @Test func resumingAfterARankWasKilled() throws {
      let data = try files.tensors(103, [1, 6, 5], to: "data")
      let files = ["--checkpoint", files.path("checkpoint"), "--metrics", files.path("metrics")]
      let arguments = ["--model", "mlp", "--dataset", "tensors", "--data", data, "--batch-size", "50", "--shards", "8"]
      let job = try Program.launch(
        ranks: 2, ["train", "--threads", "1", "--epochs", "100000"] + files + arguments
      ).start()
      try job.wait(for: "epoch 4/")
      let ranks = job.descendants
      #expect(ranks.count == 2)
      let killed = ContinuousClock.now
      kill(try #require(ranks.last), SIGKILL)
      let outcome = try job.wait()
      #expect(outcome.code != 0)
      #expect(.now - killed < .seconds(10))
      let survivors = ranks.filter { RunningCommand.isAlive($0) }
      #expect(survivors == [])

      let latest = String(decoding: try self.files.folder.data("checkpoint/latest"), as: UTF8.self)
      let step = try #require(Int(latest.dropFirst(5).dropLast(1)))
      #expect(step >= 9)
      // At the least the killed job was so far, and in the middle of a line.
      let further = Data("{\"step\":\(step + 1),\"loss\":1}\n{\"step\":\(step + 2),\"lo".utf8)
      try self.files.folder.write(self.files.folder.data("metrics") + further, to: "metrics")
      let length = ["--steps", "\(step + 4)"]
      let resumed = try train((1, 2), arguments + length + files + ["--resume"])
      let reference = try train((1, 1), arguments + length)
      let isSame = resumed == reference
      #expect(isSame)
      // The killed job's steps behind its checkpoint are told once, as they were taken again.
      let steps = try metrics().filter { $0["loss"] != nil }.compactMap { $0["step"] as? Int }
      #expect(steps == Array(1...step + 4))
    }

    private func metrics() throws -> [[String: Any]] {
      try String(decoding: files.folder.data("metrics"), as: UTF8.self).split(separator: "\n").compactMap {
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
      }
    }
  }
}
