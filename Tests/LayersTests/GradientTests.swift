import Layers
import Support
import Testing

/// Gradients against central differences of the loss, for x and every parameter, along a random direction each.
@Suite struct GradientTests {
  @Test(arguments: LayerCases.names) func gradients(_ name: String) throws {
    var run = try LayerCases.run(name, samples: 5)
    var differences = CentralDifferences()
    // Steps that change no order among the elements of `distinct`; between kinks all is linear.
    if name == "max pooling" || name == "relu" { differences.step = 0.005 }
    // Deep and without kinks nearby: a larger step has less of y's rounding.
    if name.hasPrefix("residual") { differences.step = 0.02 }
    for isBlocked in [false, true] {
      run.inputIsBlocked = isBlocked
      let (worst, error) = try differences.largestError(run)
      #expect(error < 3e-3, "\(worst), blocked input: \(isBlocked)")
    }
  }

  /// `local` depends on the workers, which central differences do not mind.
  @Test func localBatchNorm() throws {
    let run = try LayerRun(LayerCases.image, samples: 7, LayerCases.localNorms)
    let (worst, error) = try CentralDifferences().largestError(run, threads: 3, shards: 5)
    #expect(error < 3e-3, "\(worst)")
  }

  /// The test's own test: a gradient that is wrong by a hundredth is seen.
  @Test func wrongGradientIsSeen() throws {
    var run = try LayerCases.run("batch norm, ghost:2", samples: 5)
    let outcome = try run.outcome()
    run.w = run.w.map { $0 * 1.01 }
    let other = try run.outcome()
    #expect(relativeError(other.dx, outcome.dx) > 5e-3)
    #expect(isWorse(.nan, than: 1) && isWorse(2, than: 1) && !isWorse(1, than: 2) && !isWorse(1, than: .nan))
  }
}
