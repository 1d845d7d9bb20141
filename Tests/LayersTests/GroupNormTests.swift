import Layers
import Support
import Tensors
import Testing

/// Group norm's hard cases: large means, constant groups, single values.
@Suite struct GroupNormTests {
  /// y and dx at a mean 1e4 times the deviation, against Double.
  @Test func largeMeanAgainstDouble() throws {
    let (samples, shape, groups) = (3, SampleShape(channels: 6, height: 7, width: 5), 2)
    var run = try LayerRun(shape, samples: samples, GroupNorm(groups))
    run.batches = [LayerRun.random(samples * shape.count, number: 3).map { 1e4 + $0 }]
    let weight: [Float] = [1, -0.5, 2, 0, 1.5, 0.3]
    run.values["weight"] = weight
    let outcome = try run.outcome(.init(ranks: 2, shards: 3))
    let (x, w) = (run.batches[0], run.w)
    var (y, dx) = (x, x)
    for group in 0..<samples * groups {
      let places = x.indices.filter { $0 / (shape.count / groups) == group }
      func weighted(_ place: Int) -> Double { Double(weight[place / shape.positions % shape.channels]) }
      let n = Double(places.count)
      let mean = places.reduce(0) { $0 + Double(x[$1]) } / n
      let variance = places.reduce(0) { $0 + (Double(x[$1]) - mean) * (Double(x[$1]) - mean) } / n
      let rstd = 1 / (variance + 1e-5).squareRoot()
      let xhat = places.map { (Double(x[$0]) - mean) * rstd }
      let dz = places.map { Double(w[$0]) * weighted($0) }
      let meanGradient = dz.reduce(0, +) / n
      let product = zip(dz, xhat).reduce(0) { $0 + $1.0 * $1.1 } / n
      for (index, place) in places.enumerated() {
        y[place] = Float(xhat[index] * weighted(place))
        dx[place] = Float(rstd * (dz[index] - meanGradient - xhat[index] * product))
      }
    }
    // The mean is rounded to Float: at 1e4 that is up to 5e-4 of a deviation.
    #expect(relativeError(outcome.y, y) < 6e-4)
    #expect(relativeError(outcome.dx, dx) < 6e-4)
  }

  /// y the bias to the last bit, dx finite.
  @Test(arguments: [1, 7, 1023]) func constantGroups(height: Int) throws {
    let constants: [Float] = [0.1, 0.1, -12345.678, -12345.678, 3e7, 3e7]
    let shape = SampleShape(channels: constants.count, height: height, width: 1)
    var run = try LayerRun(shape, samples: 3, GroupNorm(3))
    run.batches = [(0..<3 * shape.count).map { constants[$0 / height % constants.count] }]
    let bias: [Float] = [0.3, -7, 1e-5, 0, 2.5, 11]
    run.values["bias"] = bias
    let outcome = try run.outcome(.init(ranks: 2, shards: 2))
    let isBias = outcome.y.enumerated().allSatisfy { $1 == bias[$0 / height % constants.count] }
    #expect(isBias)
    let isFinite = outcome.dx.allSatisfy(\.isFinite)
    #expect(isFinite)
  }

  /// Training and evaluation are the same function, and one sample more or less in the batch changes no bit of another's.
  @Test func samplesAreAlone() throws {
    let five = try LayerCases.run("group norm, groups", samples: 5)
    var two = try LayerCases.run("group norm, groups", samples: 2)
    two.batches = [Array(five.batches[0].prefix(two.batches[0].count))]
    let (whole, part) = (try five.outcome(.init(ranks: 2, shards: 3)), try two.outcome())
    let isSame = Array(whole.y.prefix(part.y.count)) == part.y
    #expect(isSame)
    let isEvaluated = whole.y == whole.evaluation
    #expect(isEvaluated)
  }

  @Test func groupsThatDoNotFitAreRefused() throws {
    func complaint(_ layer: any Layer, _ input: SampleShape) -> String? {
      do {
        _ = try LayerRun(input, samples: 2, Sequential { layer.named("norm") })
        return nil
      } catch {
        return "\(error)"
      }
    }
    #expect(complaint(GroupNorm(4), .features(6)) == "layer norm: 4 groups do not divide 6 channels")
    #expect(complaint(GroupNorm(0), .features(6)) == "layer norm: 0 groups do not divide 6 channels")
    let single = complaint(GroupNorm(6), .features(6))
    #expect(single == "layer norm: 6 groups of [6] would take their statistics over a single value")
    #expect(complaint(LayerNorm(), .features(1)) != nil)
    #expect(complaint(GroupNorm(6), SampleShape(channels: 6, height: 2, width: 1)) == nil)
  }
}
