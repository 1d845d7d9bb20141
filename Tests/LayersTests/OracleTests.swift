import Layers
import Support
import Testing

/// Every layer against PyTorch in float64, on files that `Oracles/make.py` has written.
@Suite struct OracleTests {
  @Test func thereAreOracles() {
    #expect(Oracle.names.count == 56)
  }

  /// The divisions and memory layouts in which every oracle must come out.
  static let variants: [(name: String, division: LayerRun.Division, isBlocked: Bool)] = [
    ("1 x 1", .init(), false),
    ("1 x 1, blocked input", .init(), true),
    ("2 x 1, 3 shards", .init(ranks: 2, threads: 1, shards: 3), false),
    ("2 x 2, 5 shards", .init(ranks: 2, threads: 2, shards: 5), true),
  ]

  @Test(arguments: Oracle.names) func layer(_ name: String) throws {
    let oracle = try Oracle(name)
    var run = try oracle.run()
    for variant in Self.variants {
      run.inputIsBlocked = variant.isBlocked
      let outcome = try run.outcome(variant.division)
      let complaint = complaint(outcome, oracle, isLoss: run.labels != nil)
      #expect(complaint == nil, "\(name), \(variant.name)")
    }
  }

  /// The gradient of x is not wanted of a network's first layer, which must not change the others.
  @Test(arguments: Oracle.names) func layerWithoutInputGradient(_ name: String) throws {
    let oracle = try Oracle(name)
    var run = try oracle.run()
    run.wantsInputGradient = false
    let outcome = try run.outcome()
    let complaint = complaint(outcome, oracle, isLoss: run.labels != nil, withInputGradient: false)
    #expect(complaint == nil)
  }

  private func complaint(
    _ outcome: LayerRun.Outcome, _ oracle: Oracle, isLoss: Bool, withInputGradient: Bool = true
  ) -> String? {
    func check(_ name: String, _ values: [Float], _ expected: [Float], _ tolerance: Double) -> String? {
      let error = relativeError(values, expected)
      return error <= tolerance ? nil : "\(name): relative error \(error)"
    }
    var complaints: [String?] = []
    if isLoss {
      complaints.append(check("loss", [Float(outcome.loss)], oracle.floats("y"), 2e-6))
    } else {
      complaints.append(check("y", outcome.y, oracle.floats("y"), 2e-6))
    }
    if withInputGradient {
      let scale = isLoss ? oracle.floats("w")[0] : 1
      complaints.append(check("dx", outcome.dx.map { $0 * scale }, oracle.floats("dx"), 1e-5))
    }
    let gradients = oracle.floats(of: "gradient")
    if Set(outcome.gradients.keys) != Set(gradients.keys) { complaints.append("names: \(outcome.gradients.keys)") }
    for (name, gradient) in gradients {
      complaints.append(check("gradient of \(name)", outcome.gradients[name] ?? [], gradient, 1e-5))
    }
    for (name, after) in oracle.floats(of: "after") {
      complaints.append(check(name, outcome.model[name] ?? [], after, 1e-6))
    }
    // With frozen statistics training and evaluation are the same function.
    if !oracle.isTraining { complaints.append(check("evaluation", outcome.evaluation, oracle.floats("y"), 2e-6)) }
    return complaints.compactMap(\.self).first
  }
}
