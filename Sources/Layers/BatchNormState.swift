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

  /// scale = weight * rstd, and the bias.
  func applyAffine(_ parameters: UnsafePointer<Float>, _ k: BatchNormCoefficients) {
    let (weight, bias) = (affine.map { parameters + $0.weight.offset }, affine.map { parameters + $0.bias.offset })
    for c in 0..<channels {
      k.scale[c] = Float(k.rstd[c]) * (weight?[c] ?? 1)
      k.bias[c] = bias?[c] ?? 0
    }
  }

  /// Derives the coefficients for evaluation.
  func takeRunningStatistics(_ parameters: UnsafePointer<Float>) {
    for c in 0..<channels {
      running.set(
        c, mean: Double(parameters[runningMean.offset + c]), variance: Double(parameters[runningVariance.offset + c]),
        epsilon: layer.epsilon)
    }
    applyAffine(parameters, running)
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
  var rstd: UnsafeMutablePointer<Double> { doubles.start }

  func set(_ channel: Int, mean: Double, variance: Double, epsilon: Float) {
    self.mean[channel] = Float(mean)
    rstd[channel] = 1 / (variance + Double(epsilon)).squareRoot()
  }
}
