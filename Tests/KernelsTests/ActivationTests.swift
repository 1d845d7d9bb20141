import Foundation
import Kernels
import Support
import Tensors
import Testing

extension Activation {
  static let all = [Activation.relu, .sigmoid, .tanh]

  func value(_ x: Double) -> Double {
    switch self {
    case .relu: max(x, 0)
    case .sigmoid: 1 / (1 + exp(-x))
    case .tanh: Foundation.tanh(x)
    }
  }

  func derivative(result y: Double) -> Double {
    switch self {
    case .relu: y > 0 ? 1 : 0
    case .sigmoid: y * (1 - y)
    case .tanh: 1 - y * y
    }
  }
}

/// Activation functions against Foundation's in Double.
@Suite struct ActivationTests {
  private func buffer(_ values: [Float]) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: values.count)
    buffer.start.update(from: values, count: values.count)
    return buffer
  }

  private func results(_ function: Activation, _ values: [Float]) -> [Float] {
    let (x, y) = (buffer(values), buffer(values.map { _ in .nan }))
    function.forward(x.start, y: y.start, count: values.count)
    return Array(y.elements)
  }

  /// Within a few units of the last place, also where a function is small or nearly constant.
  @Test(arguments: Activation.all) func againstDouble(function: Activation) {
    let sizes = (-60...6).map { Float(sign: .plus, exponent: $0, significand: 1.37) }
    let values = sizes + sizes.map { -$0 } + (-2000...2000).map { Float($0) / 37 }
    let worst = zip(values, results(function, values)).map { x, y in
      let exact = function.value(Double(x))
      return abs(Double(y) - exact) / max(abs(exact), Double(Float.leastNormalMagnitude))
    }.max()!
    #expect(worst < 4e-7)
  }

  @Test func atTheEnds() {
    let ends: [Float] = [-.infinity, -1e30, -200, 0, 200, 1e30, .infinity]
    #expect(results(.relu, ends) == [0, 0, 0, 0, 200, 1e30, .infinity])
    #expect(zip(results(.sigmoid, ends), [0, 0, 0, 0.5, 1, 1, 1]).allSatisfy { abs($0 - $1) < 1e-37 })
    #expect(results(.tanh, ends) == [-1, -1, -1, 0, 1, 1, 1])
  }

  /// A diverged run must show.
  @Test(arguments: Activation.all) func keepsNaN(function: Activation) {
    var values = LayerRun.random(33, number: 0)
    (values[20], values[32]) = (.nan, -.nan)
    let isRight = results(function, values).enumerated().allSatisfy { $1.isNaN == ($0 == 20 || $0 == 32) }
    #expect(isRight)
  }

  @Test func reluKeepsNaN() {
    var values = LayerRun.random(33, number: 0)
    values[20] = .nan
    let isRight = zip(values, results(.relu, values)).allSatisfy { $0.isNaN ? $1.isNaN : $1 == max($0, 0) }
    #expect(isRight)
  }

  /// Also where vectors are not whole, and nothing behind the end is touched.
  @Test(arguments: Activation.all) func sameBitsAtAnyPlace(function: Activation) {
    let values = LayerRun.random(50, number: 0).map { 3 * $0 }
    let whole = results(function, values)
    for start in 0..<17 {
      for count in 1...33 {
        let (x, y) = (buffer(Array(values[start...])), buffer(values.map { _ in -7 }))
        function.forward(x.start, y: y.start, count: count)
        let isSame = y.elements.enumerated().allSatisfy { $1 == ($0 < count ? whole[start + $0] : -7) }
        #expect(isSame, "\(count) from \(start)")
      }
    }
  }

  /// dx = dy * f'(x), in place.
  @Test(arguments: Activation.all) func backward(function: Activation) {
    let y = buffer(LayerRun.random(45, number: 0).map { Float(function.value(Double($0))) })
    let dy = LayerRun.random(45, number: 1)
    let dx = buffer(dy + [-7])
    function.backward(dx.start, y: y.start, dx: dx.start, count: 45)
    let expected = zip(dy, y.elements).map { Float(Double($0) * function.derivative(result: Double($1))) }
    #expect(relativeError(Array(dx.elements.dropLast()), expected) < 2e-7)
    #expect(dx.start[45] == -7)
  }

  @Test func rectifierGradient() {
    let dx = buffer([1, 2, 3, 4, 5])
    let y = buffer([1, 0, -0.0, .nan, .leastNonzeroMagnitude])
    Activation.relu.backward(dx.start, y: y.start, dx: dx.start, count: 5)
    #expect(Array(dx.elements) == [1, 0, 0, 4, 5])
  }
}
