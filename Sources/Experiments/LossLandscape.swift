import Collectives
import Datasets
import Layers
import Tensors
import Training

/// How the loss and its gradient change along the gradient, from half a step to four steps away.
///
///     p(k) = p - k * learningRate * g,   g the gradient at p,   k in [1/2, 4]
///
/// The range of the loss ("loss landscape"), the range of |g(k) - g| ("gradient predictiveness"), and the largest
/// |g(k) - g| / |p(k) - p| ("effective beta-smoothness").
/// Source: Santurkar et al. 2018, arXiv:1805.11604, section 3.1 and figure 4.
public struct LossLandscape: Codable, Sendable {
  package let step: Int
  /// Over the steps that stay finite; nil if none does.
  package let loss: ClosedRange<Double>?
  package let gradientChange: ClosedRange<Double>?
  package let smoothness: Double?
  /// Steps at which the loss was not finite.
  package let diverged: Int

  /// In parts of the learning rate.
  static let shares: ClosedRange<Double> = 0.5...4

  /// Measures on one batch; the engine's parameters stay what they are.
  ///
  /// - Parameter points: the number of steps to look at, at equal distances.
  package init(_ engine: Engine, _ batch: Batch, learningRate: Double, points: Int) throws {
    let gradient = try engine.gradient(batch).gradient
    let length = norm(gradient)
    var losses: [Double] = []
    var changes: [Double] = []
    var smoothness: [Double] = []
    for point in 0..<points {
      let share =
        Self.shares.lowerBound
        + (Self.shares.upperBound - Self.shares.lowerBound) * Double(point) / Double(max(1, points - 1))
      let moved = try engine.moved(by: -share * learningRate, along: gradient) { try engine.gradient(batch) }
      let change = distance(moved.gradient, gradient)
      guard moved.result.loss.isFinite, change.isFinite else { continue }
      losses.append(moved.result.loss)
      changes.append(change)
      if length > 0 { smoothness.append(change / (share * learningRate * length)) }
    }
    step = engine.step
    loss = Self.range(losses)
    gradientChange = Self.range(changes)
    self.smoothness = smoothness.max()
    diverged = points - losses.count
  }

  private static func range(_ values: [Double]) -> ClosedRange<Double>? {
    values.min().map { $0...values.max()! }
  }
}

/// How much a layer's gradient changes when the layers below it take their step.
///
///     G = dL/dW_i (W_1, ..., W_n),   G' = dL/dW_i (W_1', ..., W_{i-1}', W_i, ..., W_n)
///
/// The distance |G - G'|, and the cosine of the angle between them.
/// Source: Santurkar et al. 2018, arXiv:1805.11604, definition 2.1 ("internal covariate shift").
public struct CovariateShift: Codable, Sendable {
  package let step: Int
  /// Counts layers with weights from 1.
  package let layer: Int
  package let difference: Double
  package let cosine: Double

  init(step: Int, layer: Int, difference: Double, cosine: Double) {
    (self.step, self.layer, self.difference, self.cosine) = (step, layer, difference, cosine)
  }

  private static func weights(_ engine: Engine) -> [Parameter] {
    engine.plan.network.parameters.filter { $0.role == .weight }
  }

  /// How many layers have weights.
  static func layerCount(_ engine: Engine) -> Int { weights(engine).count }

  /// Measures some layers on one batch; the engine's parameters stay what they are.
  ///
  /// - Parameter layers: counted from 1 among those with weights.
  package static func measure(
    _ engine: Engine, _ batch: Batch, learningRate: Double, layers: [Int]
  ) throws -> [CovariateShift] {
    let gradient = try engine.gradient(batch).gradient
    let weights = weights(engine)
    return try layers.filter { $0 <= weights.count }.compactMap { layer in
      let weight = weights[layer - 1]
      // The step of what comes before the layer.
      let below = AlignedBuffer<Float>(count: gradient.count)
      for parameter in engine.plan.network.parameters where parameter.number < weight.number {
        (below.start + parameter.offset).update(from: gradient.start + parameter.offset, count: parameter.range.count)
      }
      let after = try engine.moved(by: -learningRate, along: below) { try engine.gradient(batch).gradient }
      func part(_ all: AlignedBuffer<Float>) -> [Double] { weight.range.map { Double(all.start[$0]) } }
      return CovariateShift(step: engine.step, layer: layer, before: part(gradient), after: part(after))
    }
  }

  /// - Parameters:
  ///   - before: the layer's gradient before the layers below are updated.
  ///   - after: the same after.
  /// - Returns: nil if one is not finite or 0.
  init?(step: Int, layer: Int, before: [Double], after: [Double]) {
    func length(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let product = zip(before, after).reduce(0) { $0 + $1.0 * $1.1 }
    let difference = length(zip(before, after).map { $0 - $1 })
    let cosine = product / (length(before) * length(after))
    guard difference.isFinite, cosine.isFinite else { return nil }
    self.init(step: step, layer: layer, difference: difference, cosine: cosine)
  }
}

extension Engine {
  /// Runs `body` with other parameters.
  fileprivate func moved<Result>(
    by distance: Double, along direction: AlignedBuffer<Float>, _ body: () throws -> Result
  ) rethrows -> Result {
    let here = Array(parameters.current)
    defer { parameters.change { $0.update(from: here, count: here.count) } }
    let distance = Float(distance)
    parameters.change { parameters in
      for i in here.indices { parameters[i] = here[i] + distance * direction.start[i] }
    }
    return try body()
  }
}

private func norm(_ values: AlignedBuffer<Float>) -> Double {
  var squares = 0.0
  for i in 0..<values.count {
    let value = Double(values.start[i])
    squares += value * value
  }
  return squares.squareRoot()
}

private func distance(_ a: AlignedBuffer<Float>, _ b: AlignedBuffer<Float>) -> Double {
  var squares = 0.0
  for i in 0..<a.count {
    let difference = Double(a.start[i]) - Double(b.start[i])
    squares += difference * difference
  }
  return squares.squareRoot()
}
