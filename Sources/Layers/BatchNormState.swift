import Kernels
import Tensors

/// What the two halves of a batch norm share: parameters, and the coefficients of each worker's groups.
///
/// Sendable: written while the network is compiled, by one thread; coefficients belong to one worker each, those of the
/// running statistics are written between steps.
final class BatchNormState: @unchecked Sendable {
  let layer: BatchNorm
  let layout: ActivationLayout
  let weight: Parameter?
  let bias: Parameter?
  let runningMean: Parameter
  let runningVariance: Parameter
  /// Coefficients of the running statistics, for evaluation.
  private(set) var running: BatchNormCoefficients!
  /// Those of worker 0's first group; the others' follow.
  private var batch: BatchNormCoefficients!
  /// The rows of a worker: one for each of its groups at most, and room, so that what one core reads ahead is not what another
  /// one writes.
  private var rowsPerWorker = 0
  private var memory: [BatchNormCoefficients.Memory] = []
  /// The number of the kind of statistics.
  private(set) var kind = 0
  /// sum(dy) and sum(dy * (x - mean)) over groups.
  var gradientSums: SumColumns!
  /// With frozen statistics, room for those of a piece, by worker.
  private var pieceSums: AlignedBuffer<Double>!

  init(_ layer: BatchNorm, _ layout: ActivationLayout, _ network: NetworkBuilder) {
    self.layer = layer
    self.layout = layout
    let shape = [layout.shape.channels]
    let affine = layer.affine ? network.affineParameters(layout) : nil
    (weight, bias) = (affine?.weight, affine?.bias)
    // With a momentum of 0, frozen statistics stay what they are.
    let role = Parameter.Role.runningStatistic(momentum: layer.statistics == .frozen ? 0 : layer.momentum)
    runningMean = network.parameter("running_mean", shape, role, .constant(0))
    runningVariance = network.parameter("running_var", shape, role, .constant(1))
    for parameter in [runningMean, runningVariance] {
      parameter.layout = WeightLayout(plain: shape, paddedCount: layout.paddedChannels)
    }
  }

  var parameters: [Parameter] { [runningMean, runningVariance] + [weight, bias].compactMap { $0 } }

  /// Channels, including padding.
  var channels: Int { layout.paddedChannels }

  func allocate(_ target: CompileTarget) {
    if layer.statistics == .frozen {
      pieceSums = AlignedBuffer(count: target.workers * 2 * channels)
    } else {
      kind = target.partitions[0].kind(layer.statistics)
      let mostGroups = target.partitions.flatMap { $0.groups(layer.statistics).groupsOfWorker.map(\.count) }.max() ?? 0
      rowsPerWorker = mostGroups + 1 + AlignedBuffer<Double>.readAhead / (channels * MemoryLayout<Double>.size)
    }
    let memory = [1, target.workers * rowsPerWorker].map { BatchNormCoefficients.Memory(rows: $0, channels: channels) }
    (running, batch) = (memory[0].first, memory[1].first)
    self.memory = memory
  }

  /// A worker's room for the sums of a piece, all 0.
  func clearedSums(ofWorker worker: Int) -> UnsafeMutablePointer<Double> {
    let sums = pieceSums.start + worker * 2 * channels
    sums.update(repeating: 0, count: 2 * channels)
    return sums
  }

  /// Elements per channel of a group.
  func count(_ group: Int, _ worker: Worker) -> Int {
    worker.route.kind(kind)[group].count * layout.positions
  }

  func coefficients(_ piece: Piece, of slice: Slice) -> BatchNormCoefficients {
    batch.row(slice.owner * rowsPerWorker + piece.groups[kind])
  }

  func coefficients(_ worker: Worker, group: Int) -> BatchNormCoefficients {
    batch.row(worker.index * rowsPerWorker + group - worker.route.kind(kind).groups.lowerBound)
  }

  /// rstd = 1 / sqrt(variance + epsilon),   scale = weight * rstd,   and the bias.
  func deriveFactors(_ k: BatchNormCoefficients, _ parameters: UnsafePointer<Float>) {
    Elementwise.reciprocalRoots(k.rstd, adding: Double(layer.epsilon), count: channels)
    let (scales, biases, rstds) = (k.scale, k.bias, k.rstd)
    for c in 0..<channels { scales[c] = Float(rstds[c]) }
    guard let weight = weight?.offset, let bias = bias?.offset else { return }
    let weights = parameters + weight
    for c in 0..<channels { scales[c] *= weights[c] }
    biases.update(from: parameters + bias, count: channels)
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
struct BatchNormCoefficients: BitwiseCopyable {
  private let floats: UnsafeMutablePointer<Float>
  private let doubles: UnsafeMutablePointer<Double>
  private let channels: Int

  /// Rows of coefficients, one after another.
  final class Memory: Sendable {
    private let floats: AlignedBuffer<Float>
    private let doubles: AlignedBuffer<Double>
    private let channels: Int

    init(rows: Int, channels: Int) {
      self.channels = channels
      floats = AlignedBuffer(count: rows * 6 * channels)
      doubles = AlignedBuffer(count: rows * channels)
    }

    /// The first row.
    var first: BatchNormCoefficients {
      BatchNormCoefficients(floats: floats.start, doubles: doubles.start, channels: channels)
    }
  }

  /// The row that comes so many rows later.
  func row(_ number: Int) -> BatchNormCoefficients {
    BatchNormCoefficients(
      floats: floats + number * 6 * channels, doubles: doubles + number * channels, channels: channels)
  }

  var mean: UnsafeMutablePointer<Float> { floats }
  var unbiasedVariance: UnsafeMutablePointer<Float> { floats + channels }
  /// weight * rstd
  var scale: UnsafeMutablePointer<Float> { floats + 2 * channels }
  var bias: UnsafeMutablePointer<Float> { floats + 3 * channels }
  /// mean(dy)
  var meanGradient: UnsafeMutablePointer<Float> { floats + 4 * channels }
  /// rstd * mean(dy * xhat)
  var slope: UnsafeMutablePointer<Float> { floats + 5 * channels }
  /// Until rstd takes its place.
  var variance: UnsafeMutablePointer<Double> { doubles }
  var rstd: UnsafeMutablePointer<Double> { doubles }
}
