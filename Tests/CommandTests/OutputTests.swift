import Foundation
import Tensors
import Testing

extension CommandTests {
  /// What the program prints and writes.
  @Suite struct OutputTests {
    let files: SampleFiles

    init() throws {
      files = try SampleFiles()
      _ = try files.tensors(52, [1, 6, 6], to: "data")
    }

    private func train(ranks: Int? = nil, _ arguments: [String]) throws -> Launch.Outcome {
      let outcome = try Program.launch(
        ranks: ranks,
        ["train", "--model", "mlp", "--dataset", "tensors", "--data", files.path("data"), "--batch-size", "24"]
          + arguments
      ).run()
      guard outcome.code == 0 else { throw LockstepError("exit code \(outcome.code): \(outcome.text)") }
      return outcome
    }

    @Test func helpNamesEveryOption() throws {
      let shared = [
        "model", "dataset", "data", "shape", "classes", "batch-size", "threads", "norm", "batch-norm", "dropout",
        "precision",
      ]
      let training = [
        "shards", "epochs", "steps", "learning-rate", "momentum", "weight-decay", "schedule", "warmup-epochs", "seed",
        "no-shuffle", "augment", "init", "save", "checkpoint", "resume", "metrics", "plan",
      ]
      let evaluation = [
        "model", "dataset", "data", "batch-size", "threads", "norm", "batch-norm", "seed", "init", "precision",
        "recompute-statistics",
      ]
      let inspection = [
        "model", "shape", "classes", "batch-size", "shards", "threads", "norm", "batch-norm", "json", "precision",
      ]
      let tuning = [
        "model", "shape", "classes", "batch-size", "shards", "threads", "norm", "batch-norm", "save", "precision",
      ]
      let all = [
        ("train", shared + training), ("evaluate", evaluation), ("inspect", inspection), ("tune", tuning),
      ]
      for (subcommand, options) in all {
        let outcome = try Program.launch([subcommand, "--help"]).run()
        #expect(outcome.code == 0)
        let missing = options.filter { !outcome.output.contains("--\($0) ") && !outcome.output.contains("--\($0)\n") }
        #expect(missing == [], "lockstep \(subcommand) --help")
      }
      let overview = try Program.launch(["--help"]).run().output
      for subcommand in ["train", "evaluate", "inspect", "bench", "experiment", "tune"] {
        #expect(overview.contains("\n  \(subcommand) "))
      }
    }

    @Test func theFirstLineSaysWhatComputes() throws {
      let outcome = try train(["--epochs", "1", "--threads", "2", "--shards", "6"])
      let line = try #require(outcome.output.split(separator: "\n").first)
      let pattern = /1 rank x 2 threads, \d+ CPUs? per rank, [^,]+, 6 shards of a batch of 24; .*/
      #expect(line.wholeMatch(of: pattern) != nil, "\(line)")
    }

    @Test func tooManyThreadsAreWarnedOf() throws {
      let processors = ProcessInfo.processInfo.activeProcessorCount
      let length = ["--steps", "1", "--batch-size", "\(processors + 2)", "--shards", "\(processors + 1)"]
      #expect(try train(length + ["--threads", "1"]).count(of: "warning: ") == 0)
      let outcome = try train(length + ["--threads", "\(processors + 1)"])
      #expect(outcome.count(of: "warning: \(processors + 1) threads per rank") == 1, "\(outcome.text)")
      guard Program.mpirunExists else { return }
      let ranks = try train(ranks: processors + 1, length + ["--threads", "1"])
      #expect(ranks.count(of: "warning: \(processors + 1) ranks x 1 thread on a machine") == 1, "\(ranks.text)")
    }

    /// More than there are samples to train with, and more than there are at all.
    @Test func batchesToEvaluateMayBeLarge() throws {
      _ = try train(["--steps", "1", "--save", files.path("model")])
      let outcome = try Program.launch([
        "evaluate", "--model", "mlp", "--dataset", "tensors", "--data", files.path("data"), "--init",
        files.path("model"),
      ]).run()
      #expect(outcome.code == 0 && outcome.output.contains(" of 13  "), "\(outcome.text)")
    }

    /// A pipe can only be written to, and nothing can be written beside it.
    @Test func metricsGoIntoPipes() throws {
      let pipe = files.path("pipe")
      #expect(mkfifo(pipe, 0o600) == 0)
      let reader = open(pipe, O_RDONLY | O_NONBLOCK)
      defer { close(reader) }
      try FileManager.default.createDirectory(atPath: "\(pipe).partial", withIntermediateDirectories: true)
      _ = try train(["--steps", "2", "--metrics", pipe])
      var bytes = [UInt8](repeating: 0, count: 4096)
      let text = String(decoding: bytes[..<max(0, read(reader, &bytes, bytes.count))], as: UTF8.self)
      #expect(text.hasPrefix("{\"step\":1,") && text.contains("{\"step\":2,"), "\(text)")
    }

    @Test(Program.needsMPI) func onlyTheFirstRankPrints() throws {
      let outcome = try train(ranks: 3, ["--epochs", "2", "--threads", "1"])
      #expect(outcome.errors == "")
      let lines = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("warning: ") }
      #expect(lines.count == 4, "\(outcome.text)")
      let starts = ["3 ranks x 1 thread, ", "epoch 1/2  step 3 ", "epoch 2/2  step 6 ", "done: test accuracy "]
      for (line, start) in zip(lines, starts) { #expect(line.hasPrefix(start)) }
    }

    @Test func metricsHaveTheirKeys() throws {
      let path = files.path("metrics")
      _ = try train(["--epochs", "2", "--threads", "1", "--metrics", path])
      let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
      let keys = try lines.map { line in
        try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double]).keys.sorted()
      }
      let step = ["epoch", "learning_rate", "loss", "samples_per_second", "step"]
      let epoch = ["epoch", "step", "test_accuracy", "test_loss"]
      #expect(keys == [step, step, step, epoch, step, step, step, epoch])
    }

    @Test(arguments: [
      ("resnet18", "3,224,224", 1000, 11_689_512),
      ("resnet50", "3,224,224", 1000, 25_557_032),
      // 432 + 32 in the stem, 3 x 4,672, 14,528 + 2 x 18,560, 57,728 + 2 x 73,984 in the stages, 650 in the classifier.
      ("resnet20", "3,32,32", 10, 272_474),
      // 784 x 100 + 2 x 100 x 100 + 100 x 10 weights, 310 biases, 3 x 200 in the batch norms.
      ("mlp", "1,28,28", 10, 100_310),
    ]) func inspectCountsParameters(model: String, shape: String, classes: Int, parameters: Int) throws {
      struct Table: Decodable {
        struct Operation: Decodable { let parameters: Int }
        let parameters: Int
        let operations: [Operation]
      }
      let arguments = ["inspect", "--model", model, "--shape", shape, "--classes", "\(classes)", "--batch-size", "8"]
      let outcome = try Program.launch(arguments + ["--json", "--threads", "1"]).run()
      let table = try JSONDecoder().decode(Table.self, from: Data(outcome.output.utf8))
      #expect(table.parameters == parameters)
      #expect(table.operations.reduce(0) { $0 + $1.parameters } == parameters)
    }

    /// Other statistics than the running averages, the same ones on any ranks x threads.
    @Test func recomputedStatistics() throws {
      let data = try files.mnist(120, to: "mnist")
      let common = ["--model", "mlp", "--dataset", "mnist", "--data", data, "--batch-size", "24"]
      let save = files.path("saved")
      _ = try Program.launch(["train", "--epochs", "1", "--save", save] + common).run()
      func loss(ranks: Int? = nil, threads: Int, _ arguments: [String]) throws -> String {
        let outcome = try Program.launch(
          ranks: ranks, ["evaluate", "--init", save, "--threads", "\(threads)"] + common + arguments
        ).run()
        return String(try #require(outcome.output.firstMatch(of: /test loss (\S+)/), "\(outcome.text)").1)
      }
      let recomputed = try loss(threads: 1, ["--recompute-statistics", "5"])
      #expect(try loss(threads: 1, []) != recomputed)
      #expect(try loss(threads: 2, ["--recompute-statistics", "5"]) == recomputed)
      if Program.mpirunExists {
        #expect(try loss(ranks: 3, threads: 1, ["--recompute-statistics", "5"]) == recomputed)
      }
      let tooMany = try Program.launch(["evaluate", "--init", save, "--recompute-statistics", "6"] + common).run()
      expectCleanFailure(tooMany, "over 1 to 5 batches of 24 samples, not 6")
    }

    @Test func evaluationAgreesWithTraining() throws {
      let data = try files.mnist(120, to: "mnist")
      let common = ["--model", "mlp", "--dataset", "mnist", "--data", data, "--threads", "2", "--batch-size", "24"]
      let save = files.path("saved")
      let training = try Program.launch(["train", "--epochs", "2", "--save", save] + common).run()
      let trained = try #require(training.output.firstMatch(of: /epoch 2\/2 .*test loss (\S+)  test accuracy (\S+)/))
      for ranks in [nil, 2] where ranks == nil || Program.mpirunExists {
        let evaluation = try Program.launch(ranks: ranks, ["evaluate", "--init", save] + common).run()
        let evaluated = try #require(
          evaluation.output.firstMatch(of: /test loss (\S+)  test accuracy (\S+) of 30/), "\(evaluation.text)")
        #expect(evaluated.1 == trained.1)
        #expect(evaluated.2 == trained.2)
      }
      // Batches that nobody could train batch norm with.
      let single = try Program.launch(["evaluate", "--init", save] + common.dropLast(4) + ["--batch-size", "1"]).run()
      #expect(single.code == 0 && single.output.contains("test accuracy \(trained.2) of 30"), "\(single.text)")
    }

    /// A bar that moves where somebody is looking, otherwise lines.
    @Test(arguments: [nil, 2]) func aTerminalGetsABar(ranks: Int?) throws {
      guard ranks == nil || Program.mpirunExists, FileManager.default.isExecutableFile(atPath: "/usr/bin/script") else {
        return
      }
      let command = Program.launch(
        ranks: ranks,
        [
          "train", "--model", "resnet20", "--dataset", "random", "--shape", "3,16,16", "--classes", "10",
          "--batch-size", "32", "--steps", "20", "--threads", "1",
        ])
      let plain = try command.run().output
      #expect(!plain.contains("█") && !plain.contains("░") && !plain.contains("\r"))
      let words = ([command.executable] + command.arguments).map { "'\($0)'" }.joined(separator: " ")
      var onTerminal = command
      onTerminal.executable = "script"
      onTerminal.arguments = ["-qec", words, "/dev/null"]
      let shown = try onTerminal.run()
      #expect(shown.code == 0)
      #expect(shown.output.contains("█") || shown.output.contains("░"), "\(shown.text)")
      #expect(shown.output.contains("\r"))
    }

    /// A log on a full disk does not end the training.
    @Test func outputThatCannotBeWrittenIsLost() throws {
      let save = files.path("saved")
      let words = [
        Program.path, "train", "--model", "mlp", "--dataset", "tensors", "--data", files.path("data"), "--batch-size",
        "24", "--epochs", "1", "--save", save,
      ]
      let outcome = try Launch(
        executable: "sh", arguments: ["-c", words.map { "'\($0)'" }.joined(separator: " ") + " > /dev/full"]
      ).run()
      #expect(outcome.code == 0, "\(outcome.text)")
      #expect(FileManager.default.fileExists(atPath: save))
    }
  }
}
