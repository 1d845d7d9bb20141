import Foundation
import Tensors
import Testing

extension CommandTests {
  /// `bench step`, `tune` and the plans that training takes.
  @Suite struct MeasuringTests {
    let folder: TemporaryFolder

    init() throws {
      folder = try TemporaryFolder()
    }

    private static let network = ["--model", "resnet20", "--shape", "3,8,8", "--batch-size", "16"]

    private func run(ranks: Int? = nil, _ arguments: [String]) throws -> Launch.Outcome {
      try Program.launch(ranks: ranks, arguments).run()
    }

    private func train(_ arguments: [String]) throws -> Launch.Outcome {
      try run(["train", "--dataset", "random", "--classes", "10", "--threads", "2"] + Self.network + arguments)
    }

    @Test(arguments: [1, 2], ["fp32", "bf16"]) func benchStep(ranks: Int, precision: String) throws {
      let outcome = try run(
        ranks: ranks,
        ["bench", "step", "--json", "--steps", "2", "--threads", "1", "--precision", precision] + Self.network)
      #expect(outcome.code == 0, "\(outcome.text)")
      let result = try #require(
        try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      for key in ["images_per_second", "step_ms", "kernels_ms", "bound_ms", "step_to_bound", "peak_gflops_per_core"] {
        #expect(try #require(result[key] as? Double) > 0, "\(key)")
      }
      #expect(result["ranks"] as? Int == ranks)
      #expect(result["precision"] as? String == precision)
      let conversions = try #require(result["conversions_ms"] as? Double)
      #expect((conversions > 0) == (precision == "bf16"))
      let operations = try #require(result["operations"] as? [[String: Any]])
      #expect(operations.count == 66)
      for operation in operations {
        let (forward, alone) = (operation["forward_ms"] as? Double, operation["isolated_ms"] as? Double)
        #expect(forward ?? 0 > 0 && alone ?? 0 > 0, "\(operation["name"] ?? "")")
      }
      let parts = ["kernels_ms", "meetings_ms", "additions_ms", "reading_ms", "preparation_ms", "update_ms"]
      #expect(parts.allSatisfy { result[$0] as? Double ?? -1 >= 0 })
    }

    @Test func theTableNamesTheBound() throws {
      let outcome = try run(["bench", "step", "--steps", "1", "--threads", "2"] + Self.network)
      #expect(outcome.code == 0 && outcome.output.contains("bound: every kernel by itself"), "\(outcome.text)")
      #expect(outcome.output.contains("layer3.2.conv2"))
    }

    /// A plan is measured, taken, kept with checkpoints, and found there again.
    @Test func plans() throws {
      let (plan, checkpoints) = (folder.path("plan.json"), folder.path("checkpoints"))
      let tuned = try run(["tune", "--threads", "2", "--save", plan] + Self.network)
      #expect(tuned.code == 0 && tuned.output.contains("written to"), "\(tuned.text)")
      var contents = try #require(
        try JSONSerialization.jsonObject(with: folder.data("plan.json")) as? [String: Any])
      // Whatever was measured: a plan that certainly gives other bits than the usual one.
      var convolutions = try #require(contents["convolutions"] as? [String: Any])
      convolutions["layer1.0.conv1"] = [
        "forward": "direct", "backward_data": "winograd-2", "backward_weights": "direct",
      ]
      contents["convolutions"] = convolutions
      try folder.write(JSONSerialization.data(withJSONObject: contents), to: "plan.json")

      func steps(_ count: Int, _ arguments: [String], save: String) throws {
        let outcome = try train(["--steps", "\(count)", "--save", folder.path(save)] + arguments)
        #expect(outcome.code == 0, "\(outcome.text)")
      }
      try steps(4, [], save: "usual")
      try steps(4, ["--plan", plan], save: "planned")
      try steps(4, ["--plan", plan, "--threads", "1"], save: "planned-1")
      #expect(try folder.data("usual") != folder.data("planned"))
      #expect(try folder.data("planned") == folder.data("planned-1"))
      try steps(2, ["--plan", plan, "--checkpoint", checkpoints], save: "half")
      try steps(4, ["--resume", "--checkpoint", checkpoints], save: "resumed")
      #expect(try folder.data("planned") == folder.data("resumed"))

      let other = folder.path("other.json")
      _ = try run(["tune", "--threads", "2", "--save", other] + Self.network)
      let refused = try train(["--steps", "6", "--resume", "--checkpoint", checkpoints, "--plan", other])
      #expect(refused.code == 1 && refused.errors.contains("--plan"), "\(refused.text)")
    }

    @Test func plansThatDoNotFit() throws {
      func check(_ text: String, _ message: String, _ place: SourceLocation = #_sourceLocation) throws {
        try folder.write(Data(text.utf8), to: "bad.json")
        let outcome = try train(["--steps", "1", "--plan", folder.path("bad.json")])
        #expect(outcome.code == 1 && outcome.errors.contains(message), "\(outcome.text)", sourceLocation: place)
      }
      let missing = try train(["--steps", "1", "--plan", folder.path("absent.json")])
      #expect(missing.code == 1 && missing.errors.contains("cannot read the plan"), "\(missing.text)")
      try check("no JSON", "is no plan")
      func plan(_ instructions: String, _ convolutions: String, _ sizes: [Int]) -> String {
        #"{"version": 1, "instruction_set": "\#(instructions)", "convolutions": {\#(convolutions)}, "slice_sizes": \#(sizes)}"#
      }
      try check(plan("Z80", "", []), "was measured with Z80")
      let inspected = try run(["inspect", "--json"] + Self.network)
      let table = try JSONSerialization.jsonObject(with: Data(inspected.output.utf8)) as? [String: Any]
      let here = try #require(table?["instruction_set"] as? String)
      try check(plan(here, "", [1]), "has slices for 1 segments, this network has 20")
      let direct = #"{"forward": "direct", "backward_data": "direct", "backward_weights": "direct"}"#
      try check(plan(here, #""conv9": \#(direct)"#, [1]), "no convolution conv9")
      let magic = direct.replacingOccurrences(of: #": "direct", "backward_d"#, with: #": "magic", "backward_d"#)
      try check(plan(here, #""conv1": \#(magic)"#, [1]), "no convolution is called magic")
      let wrong = direct.replacingOccurrences(of: #": "direct", "backward_d"#, with: #": "winograd-4", "backward_d"#)
      try check(plan(here, #""conv1": \#(wrong)"#, [1]), "asks for winograd-4 in conv1")
    }

    @Test func tuneTakesOneRank() throws {
      let outcome = try run(ranks: 2, ["tune", "--save", folder.path("plan.json")] + Self.network)
      #expect(outcome.code == 1 && outcome.errors.contains("without mpirun"), "\(outcome.text)")
    }
  }
}
