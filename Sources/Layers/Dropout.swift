import Kernels
import Tensors

/// y = x * mask / (1 - probability), each element of the mask 0 with that probability; y = x in evaluation.
///
/// The mask is a function of (seed, step, layer, sample), whoever draws it.
/// Source: Srivastava et al. 2014, jmlr.org/papers/v15/srivastava14a.html (scaled in training, as PyTorch does).
public struct Dropout: Layer {
  var probability: Float

  public init(_ probability: Float) {
    self.probability = probability
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    guard probability >= 0, probability < 1 else {
      throw network.error("a dropout probability must be at least 0 and below 1, not \(probability)")
    }
    if probability == 0 { return x }
    let y = network.value(x.shape, block: x.block)
    return network.append(DropoutOperation(network.path, probability, x, y, layer: network.operations.count))
  }
}

final class DropoutOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  private let probability: Float
  private let layer: Int
  private var masks: [AlignedBuffer<UInt8>] = []

  init(_ name: String, _ probability: Float, _ x: Value, _ y: Value, layer: Int) {
    self.probability = probability
    self.layer = layer
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "Dropout" }
  var flopsPerSample: Int { 2 * output.shape.count }

  private var stride: Int { output.layout.sampleStride }
  private var scale: Float { 1 / (1 - probability) }

  func compile(_ target: CompileTarget) {
    masks = (0..<target.workers).map { _ in AlignedBuffer(count: target.samplesPerWorker * stride) }
  }

  private func mask(_ slice: Slice) -> UnsafeMutablePointer<UInt8> {
    masks[slice.owner].start + slice.localStart * stride
  }

  func forward(_ slice: Slice) {
    guard slice.isTraining else {
      return slice[output].update(from: slice[inputs[0]], count: slice.count * stride)
    }
    let mask = mask(slice)
    let (seed, step) = slice.withWorker { ($0.seed, $0.step) }
    for (row, sample) in slice.samples.enumerated() {
      var random = KeyedRandom(seed: seed, .dropout, step, sample, layer)
      for i in 0..<stride { mask[row * stride + i] = random.uniform() < probability ? 0 : 1 }
    }
    Elementwise.mask(slice[inputs[0]], by: mask, scale: scale, y: slice[output], count: slice.count * stride)
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    Elementwise.mask(slice.gradient(output), by: mask(slice), scale: scale, y: dx, count: slice.count * stride)
  }
}
