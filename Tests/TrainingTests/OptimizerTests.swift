import Layers
import Support
import Tensors
import Testing
import Training

/// The engine's updates over several steps against PyTorch's formula in Double.
@Suite struct OptimizerTests {
  /// The gradient of sum(w * y) by a linear layer does not depend on its parameters, so that each step's is known.
  @Test(
    arguments: [
      SGD(momentum: 0), SGD(momentum: 0.9), SGD(momentum: 0.9, weightDecay: 0.1),
      SGD(momentum: 0.9, weightDecay: 0.1, nesterov: true),
      SGD(momentum: 0.5, weightDecay: 0.1, decaysWeightsOnly: true),
    ])
  func steps(optimizer: SGD) throws {
    let (samples, inputs, outputs, steps) = (5, 11, 3, 4)
    var run = try LayerRun(.features(inputs), samples: samples, Linear(outputs))
    run.batches = (0..<steps).map { LayerRun.random(samples * inputs, number: 50 + $0) }
    run.values = [
      "weight": LayerRun.random(outputs * inputs, number: 60), "bias": LayerRun.random(outputs, number: 61),
    ]
    run.optimizer = optimizer
    run.learningRate = 0.1

    for division in [LayerRun.Division(), .init(ranks: 2, threads: 2, shards: 5)] {
      let outcome = try run.outcome(division)
      for (name, initial) in run.values {
        var (p, v) = (initial.map(Double.init), initial.map { _ in 0.0 })
        let decay = optimizer.decaysWeightsOnly && name == "bias" ? 0 : Double(optimizer.weightDecay)
        for x in run.batches {
          let gradient = gradient(name, x, run.w, samples, inputs, outputs)
          for i in p.indices {
            let g = gradient[i] + decay * p[i]
            v[i] = Double(optimizer.momentum) * v[i] + g
            p[i] -= Double(run.learningRate) * (optimizer.nesterov ? g + Double(optimizer.momentum) * v[i] : v[i])
          }
        }
        #expect(relativeError(outcome.model[name]!, p.map { Float($0) }) < 1e-6, "\(name)")
        #expect(relativeError(outcome.gradients[name]!, v.map { Float($0) }) < 1e-6, "velocity of \(name)")
      }
    }
  }

  /// dWeight = w^T x, dBias = sum(w)
  private func gradient(
    _ name: String, _ x: [Float], _ w: [Float], _ samples: Int, _ inputs: Int, _ outputs: Int
  ) -> [Double] {
    func sum(_ term: (Int) -> Double) -> Double { (0..<samples).reduce(0) { $0 + term($1) } }
    if name == "bias" { return (0..<outputs).map { k in sum { Double(w[$0 * outputs + k]) } } }
    return (0..<outputs * inputs).map { i in
      let (k, f) = i.quotientAndRemainder(dividingBy: inputs)
      return sum { Double(w[$0 * outputs + k]) * Double(x[$0 * inputs + f]) }
    }
  }

  /// running = (1 - momentum) * running + momentum * batch; with no momentum, the average of all batches.
  @Test(arguments: [0.3, nil] as [Float?]) func runningStatistics(momentum: Float?) throws {
    let (samples, features) = (6, 3)
    var run = try LayerRun(.features(features), samples: samples, BatchNorm(momentum: momentum))
    run.batches = (0..<4).map { LayerRun.random(samples * features, number: 70 + $0) }
    run.values = ["running_mean": [1, 2, 3], "running_var": [4, 5, 6]]
    let outcome = try run.outcome(.init(ranks: 2, threads: 1, shards: 4))
    for c in 0..<features {
      var (mean, variance) = (Double(1 + c), Double(4 + c))
      for (number, x) in run.batches.enumerated() {
        let values = (0..<samples).map { Double(x[$0 * features + c]) }
        let batchMean = values.reduce(0, +) / Double(samples)
        let unbiased = values.reduce(0) { $0 + ($1 - batchMean) * ($1 - batchMean) } / Double(samples - 1)
        let rate = momentum.map(Double.init) ?? 1 / Double(number + 1)
        mean += rate * (batchMean - mean)
        variance += rate * (unbiased - variance)
      }
      #expect(abs(Double(outcome.model["running_mean"]![c]) - mean) < 1e-6)
      #expect(abs(Double(outcome.model["running_var"]![c]) - variance) < 1e-6)
    }
  }
}
