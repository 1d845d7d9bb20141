import Experiments
import Testing

/// The linear network's gradients against central differences, all in Double.
@Suite struct DeepLinearNetworkTests {
  @Test(arguments: [false, true]) func gradients(hasBatchNorm: Bool) {
    let network = DeepLinearNetwork(layers: 4, width: 3, samples: 11, hasBatchNorm: hasBatchNorm, seed: 2)
    let gradient = network.gradient()
    func check(_ parameters: WritableKeyPath<DeepLinearNetwork, [[Double]]>, _ gradients: [[Double]], _ name: String) {
      for layer in gradients.indices {
        for index in gradients[layer].indices {
          func loss(_ h: Double) -> Double {
            var moved = network
            moved[keyPath: parameters][layer][index] += h
            return moved.gradient().loss
          }
          let expected = (loss(1e-5) - loss(-1e-5)) / 2e-5
          let error = abs(gradients[layer][index] - expected) / max(1, abs(expected))
          #expect(error < 1e-6, "\(name) \(layer), \(index)")
        }
      }
    }
    check(\.weights, gradient.weights, "weight")
    if hasBatchNorm {
      check(\.scales, gradient.scales, "scale")
      check(\.shifts, gradient.shifts, "shift")
    }
  }

  /// A step of the first layers leaves the others; a small step of all lowers the loss.
  @Test(arguments: [false, true]) func steps(hasBatchNorm: Bool) {
    let network = DeepLinearNetwork(layers: 4, width: 3, samples: 11, hasBatchNorm: hasBatchNorm, seed: 3)
    let gradient = network.gradient()
    let part = network.stepped(gradient, learningRate: 1e-4, layers: 2)
    #expect(part.weights[0] != network.weights[0] && part.weights[1] != network.weights[1])
    #expect(part.weights[2...] == network.weights[2...])
    #expect((part.scales[1] != network.scales[1]) == hasBatchNorm)
    let whole = network.stepped(gradient, learningRate: 1e-6, layers: 4)
    #expect(whole.gradient().loss < gradient.loss)
  }
}
