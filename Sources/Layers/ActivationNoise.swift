import Kernels
import Tensors

/// Noise whose own distribution changes from step to step: covariate shift, made on purpose. y = x in evaluation.
///
///     y = s * x + m,   m ~ U(mu - 0.1, mu + 0.1),   s ~ N(sigma, 0.1^2)   for every element of every sample,
///     mu ~ U(-0.5, 0.5),   sigma ~ U(1, 1.25)                            for every channel in every step
///
/// A function of (seed, step, layer, sample), whoever draws it. x, y: [N, C, H, W] or [N, F].
/// Source: Santurkar, Tsipras, Ilyas, Madry 2018, arXiv:1805.11604, section 2.1 and appendix A ("noisy" batch norm).
public struct ActivationNoise: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    let x = network.blocked(x)
    return network.append(
      ActivationNoiseOperation(network.path, x, network.value(x.shape), layer: network.operations.count))
  }
}

final class ActivationNoiseOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  private let layer: Int
  /// By worker: mu and sigma of the step's channels.
  private var distributions: [AlignedBuffer<Float>] = []

  private static let meanBound: Float = 0.5
  private static let scaleBound: Float = 1.25
  private static let spread: Float = 0.1

  /// Standard normal numbers to choose from by 16 random bits: the transform of each element would cost more than a
  /// convolution.
  private static let normal: [Float] = {
    var random = KeyedRandom(seed: 0, .noise)
    return (0..<1 << 16).map { _ in random.normal() }
  }()

  init(_ name: String, _ x: Value, _ y: Value, layer: Int) {
    self.layer = layer
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "ActivationNoise" }
  var flopsPerSample: Int { 2 * output.shape.count }

  private var layout: ActivationLayout { output.layout }

  func compile(_ target: CompileTarget) {
    distributions = (0..<target.workers).map { _ in AlignedBuffer(count: 2 * layout.paddedChannels) }
  }

  func forward(_ slice: Slice) {
    let (x, y) = (slice[inputs[0]], slice[output])
    guard slice.isTraining else { return y.update(from: x, count: slice.count * layout.sampleStride) }
    forEachElement(slice) { i, scale, mean in y[i] = scale * x[i] + mean }
    Elementwise.clearPadding(y, layout, samples: slice.count)
  }

  /// dx = s * dy
  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    let dy = slice.gradient(output)
    forEachElement(slice) { i, scale, _ in dx[i] = scale * dy[i] }
  }

  @inline(__always)
  private func forEachElement(_ slice: Slice, _ body: (_ index: Int, _ scale: Float, _ mean: Float) -> Void) {
    let distribution = distributions[slice.worker].start
    let (seed, step) = slice.withWorker { ($0.seed, $0.step) }
    // No sample has this number.
    var random = KeyedRandom(seed: seed, .noise, step, -1, layer)
    for c in 0..<layout.shape.channels {
      distribution[2 * c] = random.uniform(-Self.meanBound...Self.meanBound)
      distribution[2 * c + 1] = random.uniform(1...Self.scaleBound)
    }
    Self.normal.withUnsafeBufferPointer { normal in
      for (row, sample) in slice.samples.enumerated() {
        var random = KeyedRandom(seed: seed, .noise, step, sample, layer)
        for index in 0..<layout.sampleStride {
          let channel = index / (layout.positions * layout.block) * layout.block + index % layout.block
          let bits = random.next()
          let uniform = (Float(bits & 0xFFFF) + 0.5) * 0x1p-15 - 1
          let mean = distribution[2 * channel] + Self.spread * uniform
          let scale = distribution[2 * channel + 1] + Self.spread * normal[Int(bits >> 16)]
          body(row * layout.sampleStride + index, scale, mean)
        }
      }
    }
  }
}
