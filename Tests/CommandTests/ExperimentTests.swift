import Foundation
import Tensors
import Testing

extension CommandTests {
  /// Experiments and `bench accuracy`, small: what they write, that they go on, and what they refuse.
  @Suite struct ExperimentTests {
    let files: SampleFiles

    init() throws { files = try SampleFiles() }

    private func run(ranks: Int? = nil, _ arguments: [String]) throws -> Launch.Outcome {
      try Program.launch(ranks: ranks, arguments + ["--output", files.path("page"), "--threads", "1"]).run()
    }

    private func results() throws -> [String: Any] {
      let json = try JSONSerialization.jsonObject(with: files.folder.data("page/results.json"))
      return try #require((json as? [String: Any])?["results"] as? [String: Any])
    }

    private func expectPage(_ figures: [String], _ place: SourceLocation = #_sourceLocation) throws {
      let html = String(decoding: try files.folder.data("page/index.html"), as: UTF8.self)
      for figure in figures {
        let isThere = html.contains("<figure id=\"\(figure)\">")
        #expect(isThere, "\(figure)", sourceLocation: place)
        #expect(try files.folder.data("page/\(figure).svg").count > 500, sourceLocation: place)
      }
      if Browser.exists { #expect(try Browser.faults(html, figures: figures) == [], sourceLocation: place) }
    }

    @Test(arguments: [nil, 2]) func batchNormMNIST(ranks: Int?) throws {
      guard ranks == nil || Program.mpirunExists else { return }
      let data = try files.mnist(240, to: "mnist")
      let arguments = ["experiment", "batch-norm-mnist", "--data", data, "--steps", "20"]
      let outcome = try run(ranks: ranks, arguments)
      #expect(outcome.code == 0 && outcome.output.contains("index.html"), "\(outcome.text)")
      let networks = try #require(results()["networks"] as? [[String: Any]])
      #expect(networks.map { $0["hasBatchNorm"] as? Bool } == [true, false])
      let points = networks.compactMap { $0["points"] as? [[String: Any]] }
      #expect(points.allSatisfy { $0.map { $0["step"] as? Int } == Array(0...20) })
      for point in points.joined() {
        let percentiles = try #require(point["percentiles"] as? [Double])
        #expect(percentiles.count == 3 && percentiles == percentiles.sorted())
      }
      try expectPage(["accuracy", "inputs-with-batch-norm", "inputs-without"])
      let again = try run(arguments)
      expectCleanFailure(again, "holds results; add --resume")
      let resumed = try run(arguments + ["--resume"])
      #expect(resumed.code == 0, "\(resumed.text)")
    }

    @Test func smoothness() throws {
      let data = try files.cifar(48, to: "cifar")
      let outcome = try run([
        "experiment", "smoothness", "--dataset", "cifar10", "--data", data, "--model", "vgg11", "--steps", "4",
        "--interval", "2", "--linear-steps", "20", "--batch-size", "16", "--points", "2", "--layers", "2", "5",
        "--learning-rate", "0.01",
      ])
      #expect(outcome.code == 0, "\(outcome.text)")
      let networks = try #require(results()["networks"] as? [[String: Any]])
      #expect(networks.count == 5)
      for network in networks.prefix(3) {
        #expect((network["landscapes"] as? [Any])?.count == 3)
        #expect((network["shifts"] as? [Any])?.count == 6)
        #expect(network["failure"] == nil)
      }
      try expectPage([
        "accuracy", "loss-landscape", "gradient-predictiveness", "smoothness", "shift-2-distance", "shift-5-cosine",
        "linear-loss", "linear-shift-9-distance", "linear-shift-17-cosine",
      ])
    }

    private func accuracy(_ arguments: [String]) throws -> Launch.Outcome {
      let data = try files.mnist(160, to: "mnist")
      return try run(
        [
          "bench", "accuracy", "--dataset", "mnist", "--data", data, "--model", "mlp:16", "--batch-size", "16",
          "--epochs", "2", "--seeds", "2", "--train-samples", "96",
        ] + arguments)
    }

    /// What a run has measured stays, and another goes on from it.
    @Test func accuracyGoesOn() throws {
      let outcome = try accuracy(["--samples-per-worker", "8", "2"])
      #expect(
        outcome.code == 0 && outcome.output.contains("8 workers x 2 samples: local is ghost:2"), "\(outcome.text)")
      let runs = try #require(results()["runs"] as? [[String: Any]])
      #expect(runs.count == 8)
      try expectPage(["accuracy", "epochs"])

      // As if interrupted after the third run.
      var file = try #require(
        try JSONSerialization.jsonObject(with: files.folder.data("page/results.json")) as? [String: Any])
      var kept = try results()
      kept["runs"] = Array(runs.prefix(3))
      file["results"] = kept
      try files.folder.write(JSONSerialization.data(withJSONObject: file), to: "page/results.json")
      let resumed = try accuracy(["--samples-per-worker", "8", "2", "--resume"])
      #expect(resumed.code == 0 && resumed.output.contains("5/5"), "\(resumed.text)")
      func finals(_ runs: [[String: Any]]) -> [[Double]] { runs.compactMap { $0["testAccuracy"] as? [Double] } }
      #expect(try finals(#require(results()["runs"] as? [[String: Any]])) == finals(runs))
      let other = try accuracy(["--samples-per-worker", "8", "4", "--resume"])
      expectCleanFailure(other, "holds results of --samples-per-worker 8 2, not of 8 4")
    }

    @Test func mistakes() throws {
      expectCleanFailure(
        try run([
          "experiment", "batch-norm-mnist", "--dataset", "glyphs", "--steps", "1", "--learning-rate", "1e38",
          "--output", files.path("infinite"),
        ]), "a number among the results that is not finite")
      expectCleanFailure(try accuracy(["--samples-per-worker", "3"]), "3 does not divide a batch of 16 among workers")
      expectCleanFailure(try accuracy(["--samples-per-worker", "1"]), "over a single value per channel")
      expectCleanFailure(
        try run(["experiment", "batch-norm-mnist", "--data", files.path("none")]), "no such file: ")
      expectCleanFailure(
        try run(["experiment", "smoothness", "--dataset", "cifar10", "--data", files.path("none")]), "none")
      expectCleanFailure(
        try run(["experiment", "smoothness", "--dataset", "glyphs", "--model", "mlp", "--layers", "9"]),
        "mlp has 4 layers with weights, none of which --layers names")
      expectCleanFailure(
        try Program.launch(["bench", "sync-vs-local", "--layouts", "2x1"]).run(),
        "need 2 ranks, this job has 1; launch it with mpirun -np 2")
    }
  }
}
