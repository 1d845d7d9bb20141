import Kernels
import Support
import Tensors
import Testing

/// PyTorch's formula, several steps, in Double.
@Suite struct SGDUpdateTests {
  @Test(arguments: [0, 0.9] as [Float], [(0, false), (0.01, false), (0.01, true), (0, true)] as [(Float, Bool)])
  func update(momentum: Float, settings: (weightDecay: Float, nesterov: Bool)) {
    for (offset, isShared) in [(0, false), (0, true), (3, true)] {
      for target in Target.allCases {
        update(momentum: momentum, settings: settings, offset: offset, isShared: isShared, target)
      }
    }
  }

  /// Where the updated parameters go.
  private enum Target: CaseIterable { case parameters, gradients, apart }

  /// - Parameter offset: where the parameters begin, from the start of a cache line.
  private func update(
    momentum: Float, settings: (weightDecay: Float, nesterov: Bool), offset: Int, isShared: Bool, _ target: Target
  ) {
    let count = 37
    let initial = LayerRun.random(count, number: 0)
    let (parameter, velocity) = (AlignedBuffer<Float>(count: offset + count), AlignedBuffer<Float>(count: count))
    let (gradients, apart) = (AlignedBuffer<Float>(count: count), AlignedBuffer<Float>(count: count))
    let first = parameter.start + offset
    first.update(from: initial, count: count)
    let updated = [.parameters: first, .gradients: gradients.start, .apart: apart.start][target]!
    var (p, v) = (initial.map(Double.init), [Double](repeating: 0, count: count))
    for step in 1...5 {
      let gradient = LayerRun.random(count, number: step)
      gradients.start.update(from: gradient, count: count)
      let before = Array(parameter.elements[offset...])
      SGDUpdate.apply(
        gradients.start, velocity: velocity.start, parameter: first, into: updated, count: count, learningRate: 0.1,
        momentum: momentum, weightDecay: settings.weightDecay, nesterov: settings.nesterov, isShared: isShared)
      SGDUpdate.finish()
      if target != .parameters { #expect(Array(parameter.elements[offset...]) == before) }
      first.update(from: updated, count: count)
      for i in 0..<count {
        let g = Double(gradient[i]) + Double(settings.weightDecay) * p[i]
        v[i] = Double(momentum) * v[i] + g
        p[i] -= Double(Float(0.1)) * (settings.nesterov ? g + Double(momentum) * v[i] : v[i])
      }
    }
    #expect(relativeError(Array(parameter.elements[offset...]), p.map(Float.init)) < 3e-7)
    #expect(relativeError(Array(velocity.elements), v.map(Float.init)) < 3e-7)
  }
}
