import Kernels
import Tensors

/// What the two halves of a batch norm share: parameters, and the coefficients of each worker's groups.
///
/// Sendable: written while the network is compiled, by one thread; coefficients belong to one worker each, those of the
/// running statistics are written between steps.
final class BatchNormState: @unchecked Sendable {
  let layer: BatchNorm
  let layout: ActivationLayout
  let affine: (weight: Parameter, bias: Parameter)?
  let runningMean: Parameter
  let runningVariance: Parameter
  /// Coefficients of the running statistics, for evaluation.
  private(set) var running = BatchNormCoefficients(channels: 0)
  /// By worker and group; row 0 belongs to the worker's first group.
  private var batch: [[BatchNormCoefficients]] = []
  /// The number of the kind of statistics.
  private var kind = 0

  init(_ layer: BatchNorm, _ layout: ActivationLayout, _ network: NetworkBuilder) {
    self.layer = layer
    self.layout = layout
    let shape = [layout.shape.channels]
    affine = layer.affine ? network.affineParameters(layout) : nil
    // With a momentum of 0, frozen statistics stay what they are.
    let role = Parameter.Role.runningStatistic(momentum: layer.statistics == .frozen ? 0 : layer.momentum)
    runningMean = network.parameter("running_mean", shape, role, .constant(0))
    runningVariance = network.parameter("running_var", shape, role, .constant(1))
    for parameter in [runningMean, runningVariance] {
      parameter.layout = WeightLayout(plain: shape, paddedCount: layout.paddedChannels)
    }
  }

  /// Channels, including padding.
  var channels: Int { layout.paddedChannels }

  func allocate(_ target: CompileTarget) {
    running = BatchNormCoefficients(channels: channels)
    guard layer.statistics != .frozen else { return }
    kind = target.partitions[0].kind(layer.statistics)
    batch = (0..<target.workers).map { worker in
      let most =
        target.partitions.map {
          $0.groups(layer.statistics).groupsOfWorker[target.rank * target.workers + worker].count
        }.max() ?? 0
      return (0..<most).map { _ in BatchNormCoefficients(channels: channels) }
    }
  }

  /// Elements per channel of a group.
  func count(_ group: Int, _ worker: Worker) -> Int {
    worker.route.partition.groups(layer.statistics).groups[group].samples.count * layout.positions
  }

  func coefficients(_ worker: Worker, _ piece: Piece) -> BatchNormCoefficients {
    coefficients(worker, group: piece.groups[kind])
  }

  func coefficients(_ worker: Worker, group: Int) -> BatchNormCoefficients {
    batch[worker.index][group - worker.route.groups[kind].lowerBound]
  }

  /// rstd = 1 / sqrt(variance + epsilon),   scale = weight * rstd,   and the bias.
  func deriveFactors(_ k: BatchNormCoefficients, _ parameters: UnsafePointer<Float>) {
    Elementwise.reciprocalRoots(k.rstd, adding: Double(layer.epsilon), count: channels)
    let (scales, biases, rstds) = (k.scale, k.bias, k.rstd)
    for c in 0..<channels { scales[c] = Float(rstds[c]) }
    guard let affine else { return }
    let (weight, bias) = (parameters + affine.weight.offset, parameters + affine.bias.offset)
    for c in 0..<channels { scales[c] *= weight[c] }
    biases.update(from: bias, count: channels)
  }

  /// Derives the coefficients for evaluation.
  func takeRunningStatistics(_ parameters: UnsafePointer<Float>) {
    for c in 0..<channels {
      running.mean[c] = parameters[runningMean.offset + c]
      running.variance[c] = Double(parameters[runningVariance.offset + c])
    }
    deriveFactors(running, parameters)
  }
}

/// The per-channel factors of the elementwise passes over one group of samples.
final class BatchNormCoefficients: Sendable {
  private let floats: AlignedBuffer<Float>
  private let doubles: AlignedBuffer<Double>
  private let channels: Int

  init(channels: Int) {
    self.channels = channels
    floats = AlignedBuffer(count: 6 * channels)
    doubles = AlignedBuffer(count: channels)
  }

  var mean: UnsafeMutablePointer<Float> { floats.start }
  var unbiasedVariance: UnsafeMutablePointer<Float> { floats.start + channels }
  /// weight * rstd
  var scale: UnsafeMutablePointer<Float> { floats.start + 2 * channels }
  var bias: UnsafeMutablePointer<Float> { floats.start + 3 * channels }
  /// mean(dy)
  var meanGradient: UnsafeMutablePointer<Float> { floats.start + 4 * channels }
  /// rstd * mean(dy * xhat)
  var slope: UnsafeMutablePointer<Float> { floats.start + 5 * channels }
  /// Until rstd takes its place.
  var variance: UnsafeMutablePointer<Double> { doubles.start }
  var rstd: UnsafeMutablePointer<Double> { doubles.start }
}
