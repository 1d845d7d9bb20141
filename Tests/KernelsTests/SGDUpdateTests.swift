import Kernels
import Support
import Tensors
import Testing

/// PyTorch's formula, several steps, in Double.
@Suite struct SGDUpdateTests {
  @Test(arguments: [0, 0.9] as [Float], [(0, false), (0.01, false), (0.01, true), (0, true)] as [(Float, Bool)])
  func update(momentum: Float, settings: (weightDecay: Float, nesterov: Bool)) {
    let count = 37
    let initial = LayerRun.random(count, number: 0)
    let (parameter, velocity) = (AlignedBuffer<Float>(count: count), AlignedBuffer<Float>(count: count))
    parameter.start.update(from: initial, count: count)
    var (p, v) = (initial.map(Double.init), [Double](repeating: 0, count: count))
    for step in 1...5 {
      let gradient = LayerRun.random(count, number: step)
      SGDUpdate.apply(
        gradient, velocity: velocity.start, parameter: parameter.start, count: count, learningRate: 0.1,
        momentum: momentum, weightDecay: settings.weightDecay, nesterov: settings.nesterov)
      for i in 0..<count {
        let g = Double(gradient[i]) + Double(settings.weightDecay) * p[i]
        v[i] = Double(momentum) * v[i] + g
        p[i] -= Double(Float(0.1)) * (settings.nesterov ? g + Double(momentum) * v[i] : v[i])
      }
    }
    #expect(relativeError(Array(parameter.elements), p.map(Float.init)) < 3e-7)
    #expect(relativeError(Array(velocity.elements), v.map(Float.init)) < 3e-7)
  }
}
