import Kernels
import Tensors

/// The second half of a batch norm and the max pooling behind it in one pass:
///
///     y = the largest element under the kernel of (x - mean) * rstd * weight + bias, rectified or not
///
/// What is normalized is four times what is pooled, or more: it never goes through memory, on the way forward or back.
final class BatchNormMaxPooling: BatchNormTransform, @unchecked Sendable {
  private let pooling: Pooling
  /// By worker, which element of each window of its samples is the largest.
  private var largest: [AlignedBuffer<UInt8>] = []

  /// Whether a batch norm can do a pooling that follows it.
  static func joins(_ transform: BatchNormTransform, _ pooling: Pooling) -> Bool {
    transform.inputs.count == 1 && [nil, .relu].contains(transform.activation) && transform.statistics != .frozen
      && !(transform is BatchNormMaxPooling)
      && pooling.geometry.kernelHeight * pooling.geometry.kernelWidth <= NormalizedMaxPooling.mostElements
  }

  init(_ transform: BatchNormTransform, _ pooling: Pooling) {
    self.pooling = pooling
    super.init(transform.name, transform.norm, transform.inputs[0], pooling.y)
    activation = transform.activation
  }

  override var kind: String { super.kind + " + MaxPooling \(pooling.size)" }
  override var isCheap: Bool { false }
  override var backwardReadsOutput: Bool { false }
  override var backwardWorksInPlace: Bool { false }
  override var flopsPerSample: Int { super.flopsPerSample + pooling.flopsPerSample }

  override func compile(_ target: CompileTarget) {
    super.compile(target)
    largest = (0..<target.workers).map { _ in AlignedBuffer(count: target.samplesPerWorker * yStride) }
  }

  override func forward(_ slice: Slice) {
    let (x, y) = (slice.stored(inputs[0], forms.inputs[0]), slice.stored(output, forms.output))
    let largest = slice.isTraining ? largest(slice) : nil
    for piece in slice.pieces {
      let k = coefficients(piece, slice)
      NormalizedMaxPooling.forward(
        x + piece.start * xStride, mean: k.mean, scale: k.scale, bias: k.bias, rectify: activation == .relu,
        y: y + piece.start * yStride, largest: largest.map { $0 + piece.start * yStride }, pooling.geometry,
        samples: piece.count)
    }
  }

  override func backward(_ slice: Slice) {
    let dz = slice.storedInputGradient(self, 0) ?? Stored(slice.scratch(0))
    let x = slice.stored(inputs[0], forms.backwardInputs[0])
    let dy = slice.storedGradient(output, forms.outputGradient)
    let largest = largest(slice)
    for piece in slice.pieces {
      NormalizedMaxPooling.addGradientSums(
        of: dy + piece.start * yStride, largest: largest + piece.start * yStride, x: x + piece.start * xStride,
        mean: coefficients(piece, slice).mean, dz: dz + piece.start * xStride, pooling.geometry, samples: piece.count,
        to: norm.gradientSums.row(piece))
    }
  }

  private func largest(_ slice: Slice) -> UnsafeMutablePointer<UInt8> {
    largest[slice.owner].start + slice.localStart * yStride
  }

  private var xStride: Int { norm.layout.sampleStride }
  private var yStride: Int { output.layout.sampleStride }
}
