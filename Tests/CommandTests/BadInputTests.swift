import Foundation
import Tensors
import Testing

extension CommandTests {
  /// What is wrong is said once, with the thing's name and the next step; the whole job ends at once, and not with 0.
  @Suite struct BadInputTests {
    let files: SampleFiles

    init() throws {
      files = try SampleFiles()
      _ = try files.tensors(48, [1, 4, 4], to: "data")
    }

    /// A mistake.
    struct Mistake: Sendable, CustomTestStringConvertible {
      /// Beyond `train` on 48 small samples; `@` is the folder of the files.
      let arguments: String
      /// What the error must say, in this order of words.
      let error: String
      /// Makes the files that it takes.
      var prepare: @Sendable (SampleFiles) throws -> Void = { _ in }

      var testDescription: String { arguments }
    }

    static let mistakes = options + values + paths + dataFiles

    private static let options = [
      Mistake(arguments: "--model alexnet", error: "there is no model alexnet; there are mlp, "),
      Mistake(arguments: "--dataset imagenet", error: "no data set is called imagenet; there are glyphs, "),
      Mistake(arguments: "--learning-rat 1", error: "Unknown option '--learning-rat'"),
      Mistake(arguments: "--schedule linear", error: "The value 'linear' is invalid for '--schedule"),
      Mistake(arguments: "--batch-norm ghost:0", error: "The value 'ghost:0' is invalid for '--batch-norm"),
      Mistake(arguments: "--precision fp16", error: "The value 'fp16' is invalid for '--precision"),
      Mistake(arguments: "--epochs 1 --steps 1", error: "either --epochs or --steps, not both"),
      Mistake(arguments: "--resume", error: "--resume needs --checkpoint"),
    ]

    private static let values = [
      Mistake(arguments: "--batch-size 6 --shards 8", error: "8 shards are more than the 6 samples of a batch"),
      Mistake(arguments: "--shards 2 --threads 3", error: "are more than the 2 shards of a batch"),
      Mistake(arguments: "--batch-size 2 --threads 3", error: "raise --batch-size or use fewer workers"),
      Mistake(arguments: "--batch-size 49", error: "a batch of 49 samples is larger than the data set, which has 48"),
      Mistake(arguments: "--batch-size 0", error: "the batch size must be positive, not 0"),
      Mistake(arguments: "--batch-size -1", error: "the batch size must be positive, not -1"),
      Mistake(arguments: "--threads 0", error: "the number of threads must be positive, not 0"),
      Mistake(arguments: "--threads \(Int.max)", error: "are more than the 4 shards of a batch"),
      Mistake(arguments: "--epochs \(Int.max)", error: "\(Int.max) epochs are more than can be counted"),
      Mistake(arguments: "--model mlp:\(Int.max)", error: "needs widths from 1 to 1048576, as in mlp:256,128"),
      Mistake(arguments: "--learning-rate nan", error: "the learning rate must be finite and not negative: nan"),
      Mistake(arguments: "--dropout nan", error: "a dropout probability must be at least 0 and below 1, not nan"),
      Mistake(arguments: "--dropout=-0.1", error: "a dropout probability must be at least 0 and below 1, not -0.1"),
      Mistake(arguments: "--classes 0", error: "the number of classes must be in 1...1000000, not 0"),
      Mistake(arguments: "--model vgg11", error: "needs at least 32x32 pixels"),
      Mistake(arguments: "--batch-norm ghost:1", error: "over a single value per channel (sample 0 of a batch of 24)"),
      Mistake(arguments: "--batch-size 47 --shards 4", error: "a single value per channel (sample 0 of a batch of 1)"),
      Mistake(
        arguments: "--model mlp:32 --learning-rate 1e30 --steps 9",
        error: " in step 2: the first layer at fault is "),
    ]

    private static let paths = [
      Mistake(arguments: "--save @/no/model", error: "cannot write @/no/model: No such file or directory"),
      Mistake(arguments: "--save @", error: "cannot write @: "),
      Mistake(arguments: "--metrics @/no/metrics", error: "cannot write @/no/metrics: No such file or directory"),
      Mistake(arguments: "--checkpoint @/data", error: "cannot make the checkpoint folder @/data: is there a file"),
      Mistake(arguments: "--init @/none", error: "cannot read @/none: "),
      Mistake(arguments: "--init @", error: "cannot read @: it is a directory"),
      Mistake(arguments: "--init @/data", error: "@/data is of another model: it has no 1.weight [100, 16]"),
      Mistake(arguments: "--data @", error: "cannot read @: it is a directory"),
    ]

    private static let dataFiles = [
      Mistake(arguments: "--data @/none", error: "cannot read @/none: "),
      Mistake(arguments: "--data @/short", error: "@/short: offset 1000: the file ends here, but ") { files in
        try files.folder.write(files.folder.data("data").prefix(1000), to: "short")
      },
      Mistake(arguments: "--data @/bad", error: "@/bad: offset 8: the header is not a safetensors header") { files in
        var data = try files.folder.data("data")
        data[8] = 0x58
        try files.folder.write(data, to: "bad")
      },
      Mistake(arguments: "--data @/labels", error: "@/labels: y: sample 1 has label -1; expected 0 to 45") { files in
        _ = try files.tensors(48, [4], change: { $0["y"] = SampleFiles.labels([0, -1] + (0..<46)) }, to: "labels")
      },
      Mistake(arguments: "--data @/far", error: "@/far: y: sample 47 has label 3000000000; expected 0 to ") { files in
        _ = try files.tensors(
          48, [4], change: { $0["y"] = SampleFiles.labels(Array(0..<47) + [3_000_000_000]) }, to: "far")
      },
      Mistake(
        arguments: "--data @/infinite --no-shuffle",
        error: "the loss is nan in step 1: the first layer at fault is 1 (Linear). Samples of the batch hold infinities"
      ) { files in
        var file = Safetensors()
        file["x"] = Tensor((0..<48 * 16).map { $0 == 99 ? Float.infinity : Float($0 % 7) }, shape: [48, 16])
        file["y"] = SampleFiles.labels((0..<48).map { $0 % 10 })
        try file.write(to: files.path("infinite"))
      },
      Mistake(arguments: "--dataset mnist --data @/none", error: "no such file: @/none/train-images-idx3-ubyte or "),
      Mistake(
        arguments: "--dataset mnist --data @/mnist",
        error: "@/mnist/train-labels-idx1-ubyte: offset 8: expected 48 bytes of values"
      ) { files in
        _ = try files.mnist(48, change: { if $0.hasPrefix("train-labels") { $1.removeLast(5) } }, to: "mnist")
      },
      Mistake(
        arguments: "--dataset mnist --data @/mnist",
        error: "@/mnist/t10k-images-idx3-ubyte: offset 0: magic number 2048; expected 2051"
      ) { files in
        _ = try files.mnist(48, change: { if $0.hasPrefix("t10k-images") { $1[3] = 0 } }, to: "mnist")
      },
      Mistake(
        arguments: "--dataset cifar10 --data @/cifar",
        error: "@/cifar/data_batch_3.bin: offset 30729: the file ends here; expected whole records of 3073 bytes"
      ) { files in
        _ = try files.cifar(10, change: { if $0 == "data_batch_3.bin" { $1.removeLast() } }, to: "cifar")
      },
      Mistake(
        arguments: "--dataset cifar10 --data @/cifar",
        error: "@/cifar/test_batch.bin: sample 2 has label 10; expected 0 to 9"
      ) { files in
        _ = try files.cifar(10, change: { if $0 == "test_batch.bin" { $1[2 * 3073] = 10 } }, to: "cifar")
      },
    ]

    private func launch(_ mistake: Mistake, ranks: Int?) throws -> Launch {
      try mistake.prepare(files)
      let given = mistake.arguments.replacing("@", with: files.folder.path).split(separator: " ").map(String.init)
      let length = given.contains("--epochs") ? [] : ["--epochs", "1"]
      let defaults = [
        ("--model", "mlp"), ("--dataset", "tensors"), ("--data", files.path("data")), ("--batch-size", "24"),
        ("--threads", "1"),
      ].filter { !given.contains($0.0) }.flatMap { [$0.0, $0.1] }
      return Program.launch(
        ranks: ranks, ["train"] + defaults + (given.contains("--steps") ? [] : length) + given)
    }

    private func expectError(_ outcome: Launch.Outcome, _ mistake: Mistake) {
      expectCleanFailure(outcome, mistake.error.replacing("@", with: files.folder.path))
    }

    /// Each rank may find that out while others still wait for it.
    @Test(arguments: [nil, 2].filter { $0 == nil || Program.mpirunExists }) func withoutMemory(ranks: Int?) throws {
      let outcome = try Program.launch(ranks: ranks, ["train", "--model", "mlp:1048576,1048576", "--threads", "1"])
        .run()
      #expect(outcome.code != 0 && outcome.text.contains("MiB of memory to be had"), "\(outcome.text)")
      #expect(!outcome.text.contains("Fatal error"))
    }

    @Test(arguments: mistakes) func alone(_ mistake: Mistake) throws {
      expectError(try launch(mistake, ranks: nil).run(), mistake)
    }

    /// Mistakes that are made at the same time: mpirun sleeps through most of the second that it takes to end a job.
    struct Group: Sendable, CustomTestStringConvertible {
      let mistakes: ArraySlice<Mistake>

      var testDescription: String { mistakes.map(\.arguments).joined(separator: ", ") }
    }

    static let groups = stride(from: 0, to: mistakes.count, by: 5).map { Group(mistakes: mistakes[$0...].prefix(5)) }

    @Test(Program.needsMPI, arguments: groups) func onTwoRanks(_ group: Group) throws {
      let jobs = try group.mistakes.map { mistake in
        let test = try Self()
        return (test, mistake, try test.launch(mistake, ranks: 2).start())
      }
      for (test, mistake, job) in jobs { test.expectError(try job.wait(), mistake) }
    }
  }
}

/// The job ended soon, not with 0, and said why once, without a stack trace.
func expectCleanFailure(
  _ outcome: Launch.Outcome, _ error: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(outcome.code != 0, sourceLocation: sourceLocation)
  #expect(outcome.seconds < 10, sourceLocation: sourceLocation)
  let times = outcome.count(of: error)
  #expect(times == 1, "'\(error)' should be in: \(outcome.text)", sourceLocation: sourceLocation)
  let errors = outcome.count(of: "lockstep: ") + outcome.count(of: "Error: ")
  #expect(errors == 1, "\(outcome.text)", sourceLocation: sourceLocation)
  let crashed = ["Fatal error", "crashed", "Backtrac"].contains { outcome.text.contains($0) }
  #expect(!crashed, "\(outcome.text)", sourceLocation: sourceLocation)
}
