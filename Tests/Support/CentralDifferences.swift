import Collectives
import Tensors

/// A layer's gradients against differences of its loss.
package struct CentralDifferences {
  /// How far x and each parameter move, times a random direction with elements in [-1, 1].
  package var step: Float = 0.01

  package init() {}

  /// The largest relative error of the derivatives along random directions, one for x and one for each parameter.
  ///
  /// (8 (L(+h) - L(-h)) - (L(+2h) - L(-2h))) / 12h, whose error is of order h^4: h may be so large that Float's rounding
  /// of y, divided by h, does not matter. The difference to the gradient's product with the direction is taken in
  /// relation to what that product's size is expected to be, |gradient|, or if that is nothing, to a part of |w|.
  package func largestError(_ run: LayerRun, threads: Int = 1, shards: Int = 2) throws -> (name: String, error: Double)
  {
    try within {
      let engine = try ProbedEngine(
        run, run.makeRecording(), ThreadCommunicator.alone, LayerRun.Division(threads: threads, shards: shards))
      let outcome = try engine.outcome()
      var worst = (name: "nothing was compared", error: Double.infinity)
      for (number, name) in (["x"] + outcome.gradients.keys.sorted()).enumerated() {
        let start = name == "x" ? run.batches.last! : outcome.model[name]!
        let gradient = name == "x" ? outcome.dx : outcome.gradients[name]!
        var random = KeyedRandom(seed: 3, .data, number)
        let direction = start.map { _ in random.uniform(-1...1) }
        func loss(_ h: Float) throws -> Double {
          let moved = zip(start, direction).map { $0 + h * $1 }
          try engine.reset(name == "x" ? [:] : [name: moved])
          for x in run.batches.dropLast() { _ = try engine.step(x) }
          return try engine.step(name == "x" ? moved : run.batches.last!)
        }
        let near = try loss(step) - loss(-step)
        let far = try loss(2 * step) - loss(-2 * step)
        let expected = zip(gradient, direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        let scale = max(norm(gradient), 0.1 * (run.labels == nil ? norm(run.w) : 1)) / 3.0.squareRoot()
        let error = abs((8 * near - far) / (12 * Double(step)) - expected) / scale
        if number == 0 || isWorse(error, than: worst.error) { worst = (name, error) }
      }
      return worst
    }
  }
}

/// Whether an error is larger; none is worse than NaN, which must not be forgotten.
package func isWorse(_ error: Double, than worst: Double) -> Bool { !worst.isNaN && !(error <= worst) }

/// The Euclidean length, in Double.
package func norm(_ values: some Sequence<Float>) -> Double {
  values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
}

/// |values - expected| / |expected|; infinite if they have different sizes or there is nothing to compare.
package func relativeError(_ values: [Float], _ expected: [Float]) -> Double {
  guard values.count == expected.count, !values.isEmpty else { return .infinity }
  let difference = zip(values, expected).reduce(0) {
    $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
  }
  return difference.squareRoot() / norm(expected)
}
