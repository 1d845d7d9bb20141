import Foundation
import Tensors
import Testing

extension CommandTests {
  /// `bench sync-vs-local` and `bench noise`: results, pages, and going on after an interruption.
  @Suite struct BenchPageTests {
    let files: SampleFiles

    init() throws { files = try SampleFiles() }

    private static let costArguments = [
      "bench", "sync-vs-local", "--model", "mlp:16,16", "--shape", "2,6,6", "--batch-size", "16",
      "--batch-size-per-worker", "8", "--rounds", "2",
    ]

    private func cost(ranks: Int?, _ arguments: [String]) throws -> Launch.Outcome {
      try Program.launch(ranks: ranks, Self.costArguments + ["--output", files.path("cost")] + arguments).run()
    }

    private struct Record: Decodable {
      struct Report: Decodable {
        struct Cost: Decodable {
          struct Layout: Decodable {
            let ranks, threads: Int
          }
          struct Side: Decodable {
            struct Breakdown: Decodable {
              let compute, waiting, allReduce, exchange, sumBytes, gradientBytes, messages: Double
            }
            let rounds: [Double]
            let breakdown: Breakdown
            let fingerprint: String
          }
          let layout: Layout
          let scaling: String
          let globalBatchSize: Int
          let sync, local: Side

          var name: String { "\(layout.ranks)x\(layout.threads) \(scaling)" }
        }
        struct Skipped: Decodable { let reason: String }
        let measured: [Cost]
        let skipped: [Skipped]
      }
      let results: Report
      let facts: [String: Fact]

      enum Fact: Decodable {
        case text(String)
        case number(Int)

        init(from decoder: any Decoder) throws {
          self = if let text = try? String(from: decoder) { .text(text) } else { .number(try Int(from: decoder)) }
        }
      }
    }

    private func results() throws -> Record.Report {
      try JSONDecoder().decode(Record.self, from: files.folder.data("cost/results.json")).results
    }

    private func faults(_ folder: String, _ figures: [String]) throws -> [String] {
      try Browser.faults(
        String(decoding: try files.folder.data("\(folder)/index.html"), as: UTF8.self), figures: figures)
    }

    @Test(Program.needsMPI) func syncAgainstLocal() throws {
      let outcome = try cost(ranks: 2, ["--layouts", "1x1,1x3,2x1,2x2,3x1"])
      #expect(outcome.code == 0, "\(outcome.text)")
      #expect(outcome.output.contains("skipped 3x1: needs 3 ranks, this job has 2"))
      let report = try results()
      let layouts = ["1x1", "1x3", "2x1", "2x2"]
      #expect(
        report.measured.map(\.name) == ["strong", "weak"].flatMap { scaling in layouts.map { "\($0) \(scaling)" } })
      #expect(report.skipped.count == 1)
      for cost in report.measured {
        let workers = cost.layout.ranks * cost.layout.threads
        #expect(cost.globalBatchSize == (cost.scaling == "strong" ? 16 : 8 * workers))
        for side in [cost.sync, cost.local] {
          #expect(side.rounds.count == 2 && side.rounds.allSatisfy { $0 > 0 }, "\(cost.name)")
          let parts = side.breakdown
          // The parts are scaled to make up the median step.
          let median = (side.rounds[0] + side.rounds[1]) / 2
          let sum = parts.compute + parts.waiting + parts.allReduce + parts.exchange
          #expect(abs(sum - median) < 1e-6 * median, "\(cost.name)")
          #expect(parts.compute > 0)
        }
        let (sync, local) = (cost.sync.breakdown, cost.local.breakdown)
        // Per batch norm and direction: 2 x 16 Doubles of the other rank's. Beside those what else is alike; but the loss, which
        // travels by itself with local statistics, goes with the last batch norm's way back.
        let isAlone = cost.layout.ranks == 1
        #expect(sync.sumBytes - local.sumBytes == (isAlone ? 0 : 2 * 2 * 2 * 16 * 8), "\(cost.name)")
        #expect(sync.messages - local.messages == (isAlone ? 0 : 3), "\(cost.name)")
        #expect(sync.gradientBytes == 0 && local.gradientBytes == 0, "sent on one machine")
        #expect((cost.sync.fingerprint == cost.local.fingerprint) == (workers == 1), "\(cost.name)")
      }
      #expect(Set(report.measured.filter { $0.scaling == "strong" }.map(\.sync.fingerprint)).count == 1)
    }

    @Test(Program.needsMPI, Browser.isNeeded) func thePageOfSyncAgainstLocal() throws {
      let outcome = try cost(ranks: 2, [])
      #expect(outcome.code == 0, "\(outcome.text)")
      #expect(try faults("cost", ["cost", "strong", "weak", "efficiency"]) == [])
    }

    /// What is measured stays, whatever ends the run; only the rest is measured later.
    @Test func resuming() throws {
      let layouts = ["--layouts", "1x1,1x2"]
      let running = try Program.launch(
        Self.costArguments + ["--output", files.path("cost"), "--rounds", "50"] + layouts
      )
      .start()
      try running.wait(for: "1/4")
      try running.kill()
      let before = try results()
      #expect((1...3).contains(before.measured.count))
      let refused = try cost(ranks: nil, ["--rounds", "50"] + layouts)
      expectCleanFailure(refused, "cost holds results; add --resume")
      let other = try cost(ranks: nil, ["--rounds", "49", "--resume"] + layouts)
      expectCleanFailure(other, "holds results of --rounds 50, not of 49")
      let outcome = try cost(ranks: nil, ["--rounds", "50", "--resume"] + layouts)
      #expect(outcome.code == 0, "\(outcome.text)")
      let after = try results()
      #expect(after.measured.count == 4)
      for (old, new) in zip(before.measured, after.measured) {
        #expect(old.name == new.name && old.sync.rounds == new.sync.rounds && old.local.rounds == new.local.rounds)
      }
    }

    @Test func badInput() throws {
      func check(_ arguments: [String], _ message: String, _ place: SourceLocation = #_sourceLocation) throws {
        let outcome = try Program.launch(["bench"] + arguments + ["--output", files.path("bad")]).run()
        #expect(outcome.code != 0 && outcome.errors.contains(message), "\(outcome.text)", sourceLocation: place)
      }
      try check(["sync-vs-local", "--layouts", "1x1,2x"], "2x")
      try check(["sync-vs-local", "--model", "none"], "none")
      try check(["sync-vs-local", "--rounds", "0"], "--rounds must be positive")
      try check(["noise", "--dataset", "cifar10", "--data", files.path("absent")], "absent")
      try check(["noise", "--batches", "1"], "--batches must be at least 2")
      try check(["noise", "--batches", "1000"], "lower --batches")
      #expect(!FileManager.default.fileExists(atPath: files.path("bad/index.html")))
      let outcome = try Program.launch(["bench", "noise", "--resume"]).run()
      #expect(outcome.code != 0 && outcome.errors.contains("--resume needs --output"), "\(outcome.text)")
      // A single sample has no variance: the layout is skipped, the others are not.
      let skipped = try cost(ranks: nil, ["--layouts", "1x1,1x2", "--batch-size-per-worker", "1"])
      #expect(skipped.code == 0 && skipped.output.contains("single value per channel"), "\(skipped.text)")
      #expect(try results().measured.count == 2)
    }

    /// The same noise, bit for bit, whoever computes it.
    @Test func noise() throws {
      let data = try files.tensors(64, [1, 8, 8], to: "data")
      let arguments = [
        "bench", "noise", "--dataset", "tensors", "--data", data, "--batch-size", "12", "--batches", "4", "--steps",
        "5",
        "--learning-rate", "0.01",
      ]
      struct Report: Decodable, Equatable {
        struct Noise: Decodable, Equatable {
          struct Layer: Decodable, Equatable {
            struct Point: Decodable, Equatable {
              let samples, groups: Int
              let mean, variance: Double
            }
            let name: String
            let points: [Point]
          }
          let layers: [Layer]
        }
        let fresh, trained: Noise
      }
      struct Record: Decodable { let results: Report }
      var reports: [Report] = []
      for (ranks, threads) in [(nil, 1), (nil, 3), (2, 1)] where ranks == nil || Program.mpirunExists {
        let folder = "noise-\(ranks ?? 1)x\(threads)"
        let outcome = try Program.launch(
          ranks: ranks, arguments + ["--threads", "\(threads)", "--output", files.path(folder)]
        ).run()
        #expect(outcome.code == 0, "\(outcome.text)")
        #expect(outcome.output.contains("In the trained network the variance of the batch mean falls as N^"))
        reports.append(
          try JSONDecoder().decode(Record.self, from: files.folder.data("\(folder)/results.json")).results)
      }
      for report in reports { #expect(report == reports[0]) }
      let report = try #require(reports.first)
      #expect(report.fresh.layers.count == 19 + 2 && report.fresh != report.trained)
      #expect(report.fresh.layers.allSatisfy { $0.points.map(\.samples) == [2, 4, 8, 12] })
      if Browser.executable != nil {
        let figures = ["fresh-mean", "fresh-variance", "trained-mean", "trained-variance", "slopes"]
        #expect(try faults("noise-1x1", figures) == [])
      }
    }
  }
}
