import Kernels
import Tensors

/// Batch normalization, its statistics over the global batch by default.
///
///     y = (x - mean) * rstd * weight + bias,   rstd = 1 / sqrt(variance + epsilon)
///
/// x, y: [N, C, H, W] or [N, F]; per channel. Training takes mean and variance from the batch (which part of it says
/// `statistics`) and keeps running ones, `running = (1 - momentum) * running + momentum * batch`, the variance
/// unbiased, by n / (n - 1). Evaluation takes the running ones and never communicates.
///
/// Source: Ioffe, Szegedy 2015, arXiv:1502.03167, algorithm 1; names and defaults are those of PyTorch's `BatchNorm2d`.
public struct BatchNorm: Layer {
  var epsilon: Float
  var momentum: Float?
  var affine: Bool
  var statistics: Statistics

  /// - Parameters:
  ///   - momentum: nil averages all batches so far with equal weights.
  ///   - affine: whether weight and bias are learned.
  public init(
    epsilon: Float = 1e-5, momentum: Float? = 0.1, affine: Bool = true, statistics: Statistics = .sync
  ) {
    self.epsilon = epsilon
    self.momentum = momentum
    self.affine = affine
    self.statistics = statistics
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    if case .ghost(let count) = statistics, count < 1 { throw network.error("ghost batches need at least one sample") }
    let x = network.blocked(x)
    let norm = BatchNormState(self, x.layout, network)
    let centred =
      statistics == .frozen ? x : network.append(BatchNormMoments(network.path, norm, x, network.alias(of: x)))
    return network.append(BatchNormTransform(network.path, norm, centred, network.value(x.shape)))
  }
}

/// First half: the batch's moments forward, the gradient of x backward. Ends a segment, because both need other samples.
final class BatchNormMoments: Operation, MeetingParticipant, @unchecked Sendable {
  let wiring: Wiring
  let norm: BatchNormState
  var statistics: Statistics { norm.layer.statistics }
  let meetsForward = true
  var sumCount: Int { 2 * norm.channels }
  private var moments: SumColumns!

  init(_ name: String, _ norm: BatchNormState, _ x: Value, _ y: Value) {
    self.norm = norm
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "BatchNorm moments" }
  var parameters: [Parameter] { norm.parameters }
  func backwardReads(input: Int) -> Bool { input == 0 }
  var flopsPerSample: Int { 3 * norm.layout.shape.count }

  func join(_ sums: SumColumns, _ target: CompileTarget) { moments = sums }

  /// sum(x) and sum(x^2) over a group, per padded channel.
  func total(_ worker: Worker, group: Int) -> UnsafePointer<Double> { moments.total(worker, group: group) }

  /// sum(x), sum(x^2)
  func forward(_ slice: Slice) {
    let x = slice.stored(inputs[0], forms.inputs[0])
    // Without sums, what reads x next still finds it where it is kept.
    guard slice.isTraining else { return x.round(count: slice.count * norm.layout.sampleStride) }
    for piece in slice.pieces {
      ChannelSums.addMoments(
        of: x + piece.start * norm.layout.sampleStride, norm.layout, samples: piece.count, to: moments.row(piece))
    }
  }

  // ---- all-reduce: 2C sums ----

  /// mean = sum(x) / n,   variance = sum(x^2) / n - mean^2
  func receive(_ worker: Worker) {
    for group in moments.groups(worker) {
      let (n, k) = (Double(norm.count(group, worker)), norm.coefficients(worker, group: group))
      let sums = moments.total(worker, group: group)
      let squares = sums + norm.channels
      // Found once, so that the loop takes vectors of channels.
      let (means, variances, unbiased) = (k.mean, k.variance, k.unbiasedVariance)
      for c in 0..<norm.channels {
        let (mean, variance) = meanAndVariance(sum: sums[c], squaredSum: squares[c], count: n)
        means[c] = Float(mean)
        variances[c] = variance
        unbiased[c] = Float(variance * n / (n - 1))
      }
      norm.deriveFactors(k, worker.parameters)
    }
  }

  /// dx = weight * rstd * (dy - mean(dy) - xhat * mean(dy * xhat))
  func backward(_ slice: Slice) {
    guard let dx = slice.storedInputGradient(self, 0) else { return }
    let x = slice.stored(inputs[0], forms.backwardInputs[0])
    let dy = slice.storedGradient(output, forms.outputGradient)
    for piece in slice.pieces {
      let k = norm.coefficients(piece, of: slice)
      let start = piece.start * norm.layout.sampleStride
      Normalize.backward(
        dy + start, x: x + start, mean: k.mean, scale: k.scale, meanGradient: k.meanGradient, slope: k.slope,
        dx: dx + start, norm.layout, samples: piece.count)
    }
  }

  /// dBias = sum(dy),   dWeight = sum(dy * xhat), whose sums the other half has completed in a segment before. The batch's
  /// statistics take the way of the gradients, averaged over groups. A group's are counted in its first shard.
  func finishBackward(_ worker: Worker) {
    let (kind, channels) = (worker.route.kind(norm.kind), norm.channels)
    let share = 1 / Float(kind.groupCount)
    addUp(norm.runningMean.range, kind, worker) { group, mean in
      let means = norm.coefficients(worker, group: group).mean
      for c in 0..<channels { mean[c] += share * means[c] }
    }
    addUp(norm.runningVariance.range, kind, worker) { group, variance in
      let variances = norm.coefficients(worker, group: group).unbiasedVariance
      for c in 0..<channels { variance[c] += share * variances[c] }
    }
    guard let weight = norm.weight?.range, let bias = norm.bias?.range else { return }
    addUp(bias, kind, worker) { group, dBias in
      let sums = norm.gradientSums.total(worker, group: group)
      for c in 0..<channels { dBias[c] += Float(sums[c]) }
    }
    addUp(weight, kind, worker) { group, dWeight in
      let (rstds, sums) = (
        norm.coefficients(worker, group: group).rstd, norm.gradientSums.total(worker, group: group) + channels
      )
      for c in 0..<channels { dWeight[c] += Float(rstds[c] * sums[c]) }
    }
  }

  private func addUp(
    _ parameter: Range<Int>, _ kind: RouteKind, _ worker: Worker,
    _ body: (_ group: Int, _ gradient: UnsafeMutablePointer<Float>) -> Void
  ) {
    worker.addUpShards(parameter) { shard, gradient in
      for group in kind.groups(startingIn: shard) { body(group, gradient) }
    }
  }
}

/// Second half: the normalization forward, the sums of the gradient backward. Begins a segment.
///
/// May also add a residual and apply a function, in the same pass: y = f((x - mean) * rstd * weight + bias + residual).
class BatchNormTransform: ActivatingOperation, MeetingParticipant, @unchecked Sendable {
  let wiring: Wiring
  let norm: BatchNormState
  var activation: Activation?
  var statistics: Statistics { norm.layer.statistics }
  let meetsForward = false
  var sumCount: Int { 2 * norm.channels }

  init(_ name: String, _ norm: BatchNormState, _ x: Value, _ y: Value) {
    self.norm = norm
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "BatchNorm" + furtherTasks }
  /// The other half has them, if there is one: when it is gone back through, their gradients are known.
  var parameters: [Parameter] { statistics == .frozen ? norm.parameters : [] }
  var isCheap: Bool { activation.isCheap }
  func backwardReads(input: Int) -> Bool { input == 0 }
  var backwardReadsOutput: Bool { activation != nil }
  var backwardWorksInPlace: Bool { true }
  var flopsPerSample: Int { 3 * norm.layout.shape.count }

  func compile(_ target: CompileTarget) { norm.allocate(target) }

  func join(_ sums: SumColumns, _ target: CompileTarget) { norm.gradientSums = sums }

  func needsPreparation(_ mode: Mode) -> Bool { mode == .evaluation || statistics == .frozen }
  func prepare(_ parameters: UnsafePointer<Float>, _ context: KernelContext) { norm.takeRunningStatistics(parameters) }

  final func coefficients(_ piece: Piece, _ slice: Slice) -> BatchNormCoefficients {
    slice.isTraining && statistics != .frozen ? norm.coefficients(piece, of: slice) : norm.running
  }

  /// y = (x - mean) * rstd * weight + bias
  func forward(_ slice: Slice) {
    let (x, y) = (slice.stored(inputs[0], forms.inputs[0]), slice.stored(output, forms.output))
    let residual = inputs.count > 1 ? slice.stored(inputs[1], forms.inputs[1]) : nil
    for piece in slice.pieces {
      let k = coefficients(piece, slice)
      let start = piece.start * norm.layout.sampleStride
      Normalize.forward(
        x + start, mean: k.mean, scale: k.scale, bias: k.bias, residual: residual.map { $0 + start },
        activation: activation, y: y + start, norm.layout, samples: piece.count)
    }
  }

  /// sum(dy), sum(dy * (x - mean))
  func backward(_ slice: Slice) {
    let dz = slice.storedInputGradient(self, 0) ?? Stored(slice.scratch(0))
    let x = slice.stored(inputs[0], forms.backwardInputs[0])
    let dy = slice.storedGradient(output, forms.outputGradient)
    let activated = activation.map { (function: $0, y: slice.stored(output, forms.backwardOutput)) }
    let dResidual = inputs.count > 1 ? slice.storedInputGradient(self, 1) : nil
    for piece in slice.pieces {
      let start = piece.start * norm.layout.sampleStride
      let sums = statistics == .frozen ? norm.clearedSums(ofWorker: slice.worker) : norm.gradientSums.row(piece)
      ChannelSums.addGradientSums(
        of: dy + start, through: activated.map { ($0, $1 + start) }, x: x + start,
        mean: coefficients(piece, slice).mean, dz: dz + start, copy: dResidual.map { $0 + start }, norm.layout,
        samples: piece.count, to: sums)
      if statistics == .frozen { addFrozenGradients(sums, piece, slice) }
    }
    if statistics == .frozen, let dz = dz.floats {
      Normalize.backwardFrozen(dz, scale: norm.running.scale, norm.layout, samples: slice.count)
    }
  }

  // ---- all-reduce: 2C sums ----

  /// mean(dy),   rstd^2 * mean(dy * (x - mean)) = rstd * mean(dy * xhat)
  func receive(_ worker: Worker) {
    for group in norm.gradientSums.groups(worker) {
      let (n, k) = (Double(norm.count(group, worker)), norm.coefficients(worker, group: group))
      let sums = norm.gradientSums.total(worker, group: group)
      let products = sums + norm.channels
      let (means, slopes, rstds) = (k.meanGradient, k.slope, k.rstd)
      for c in 0..<norm.channels {
        means[c] = Float(sums[c] / n)
        slopes[c] = Float(rstds[c] * rstds[c] * products[c] / n)
      }
    }
  }
}
