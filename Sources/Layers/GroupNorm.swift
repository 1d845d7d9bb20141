import Kernels
import Tensors

/// Group normalization: each sample by itself, over groups of consecutive channels.
///
///     y = (x - mean) * rstd * weight + bias,   rstd = 1 / sqrt(variance + epsilon)
///
/// x, y: [N, C, H, W] or [N, F]; mean and variance: one per sample and group, over its C / groups channels and all pixels;
/// weight, bias: [C]. Training and evaluation compute the same, and no worker waits for another.
///
/// Source: Wu, He 2018, doi:10.1007/978-3-030-01261-8_1; names and defaults are those of PyTorch's `GroupNorm`.
public struct GroupNorm: Layer {
  var groups: Int
  var epsilon: Float
  var affine: Bool

  /// - Parameter affine: whether weight and bias are learned.
  public init(_ groups: Int, epsilon: Float = 1e-5, affine: Bool = true) {
    self.groups = groups
    self.epsilon = epsilon
    self.affine = affine
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    guard groups > 0, x.shape.channels % groups == 0 else {
      throw network.error("\(groups) groups do not divide \(x.shape.channels) channels")
    }
    guard x.shape.count > groups else {
      throw network.error("\(groups) groups of \(x.shape) would take their statistics over a single value")
    }
    let x = network.blocked(x)
    return network.append(GroupNormOperation(network.path, self, x, network.value(x.shape), network))
  }
}

/// May also add a residual and apply a function, in the same pass: y = f((x - mean) * rstd * weight + bias + residual).
final class GroupNormOperation: ActivatingOperation, @unchecked Sendable {
  let wiring: Wiring
  var activation: Activation?
  private let layer: GroupNorm
  private let affine: (weight: Parameter, bias: Parameter)?
  private var memories: [GroupNormMemory] = []

  init(_ name: String, _ layer: GroupNorm, _ x: Value, _ y: Value, _ network: NetworkBuilder) {
    self.layer = layer
    affine = layer.affine ? network.affineParameters(x.layout) : nil
    wiring = Wiring(name, [x], y)
  }

  var kind: String { "GroupNorm" + furtherTasks }
  var parameters: [Parameter] { affine.map { [$0.weight, $0.bias] } ?? [] }
  var isCheap: Bool { activation.isCheap }
  func backwardReads(input: Int) -> Bool { input == 0 }
  var backwardReadsOutput: Bool { activation != nil }
  var flopsPerSample: Int { 6 * layout.shape.count }

  private var layout: ActivationLayout { output.layout }
  private var channelsPerGroup: Int { layout.shape.channels / layer.groups }
  /// Elements of a group.
  private var count: Double { Double(channelsPerGroup * layout.positions) }

  private func channels(_ group: Int) -> Range<Int> { group * channelsPerGroup..<(group + 1) * channelsPerGroup }

  func compile(_ target: CompileTarget) {
    memories = (0..<target.workers).map { _ in
      GroupNormMemory(samples: target.samplesPerWorker, groups: layer.groups, channels: layout.paddedChannels)
    }
  }

  /// Where the moments of a slice's samples are.
  private func kept(_ slice: Slice) -> GroupNormMemory { memories[slice.owner] }

  /// y = (x - mean) * rstd * weight + bias
  func forward(_ slice: Slice) {
    let memory = memories[slice.worker]
    let (x, y) = (Stored(slice[inputs[0]]), Stored(slice[output]))
    let residual = inputs.count > 1 ? Stored(slice[inputs[1]]) : nil
    for row in 0..<slice.count {
      let start = row * layout.sampleStride
      memory.sums.update(repeating: 0, count: 2 * layout.paddedChannels)
      ChannelSums.addMoments(of: x + start, layout, samples: 1, to: memory.sums)
      takeMoments(memory, slice, sample: slice.localStart + row)
      setForward(memory, slice, sample: slice.localStart + row)
      Normalize.forward(
        x + start, mean: memory.mean, scale: memory.scale, bias: memory.bias, residual: residual.map { $0 + start },
        activation: activation, y: y + start, layout, samples: 1)
    }
  }

  /// mean = sum(x) / n,   variance = sum(x^2) / n - mean^2
  private func takeMoments(_ memory: GroupNormMemory, _ slice: Slice, sample: Int) {
    for group in 0..<layer.groups {
      var (sum, squaredSum) = (0.0, 0.0)
      for c in channels(group) {
        sum += memory.sums[c]
        squaredSum += memory.sums[layout.paddedChannels + c]
      }
      let (mean, variance) = meanAndVariance(sum: sum, squaredSum: squaredSum, count: count)
      kept(slice).setMoments(sample, group, mean: mean, rstd: 1 / (variance + Double(layer.epsilon)).squareRoot())
    }
  }

  /// The coefficients of a sample's channels; those of the padding stay 0.
  private func setForward(_ memory: GroupNormMemory, _ slice: Slice, sample: Int) {
    let (weight, bias) = (affine.map { slice.parameter($0.weight) }, affine.map { slice.parameter($0.bias) })
    for group in 0..<layer.groups {
      let (mean, rstd) = kept(slice).moments(sample, group)
      for c in channels(group) {
        memory.mean[c] = Float(mean)
        memory.scale[c] = Float(rstd) * (weight?[c] ?? 1)
        memory.bias[c] = bias?[c] ?? 0
      }
    }
  }

  /// dx = rstd * (dz - mean(dz) - xhat * mean(dz * xhat)),   dz = dy * weight,   the means over the group;
  /// dWeight = sum(dy * xhat),   dBias = sum(dy)
  func backward(_ slice: Slice) {
    let memory = memories[slice.worker]
    let (x, dy) = (Stored(slice[inputs[0]]), slice.gradient(output))
    let activated = activation.map { (function: $0, y: Stored(slice[output])) }
    let dx = slice.inputGradient(self, 0) ?? slice.scratch(0)
    let dResidual = inputs.count > 1 ? slice.inputGradient(self, 1).map { Stored($0) } : nil
    for piece in slice.pieces {
      memory.gradients.update(repeating: 0, count: 2 * layout.paddedChannels)
      for row in piece.start..<piece.start + piece.count {
        let (start, sample) = (row * layout.sampleStride, slice.localStart + row)
        setForward(memory, slice, sample: sample)
        memory.sums.update(repeating: 0, count: 2 * layout.paddedChannels)
        ChannelSums.addGradientSums(
          of: Stored(dy + start), through: activated.map { ($0, $1 + start) }, x: x + start, mean: memory.mean,
          dz: Stored(dx + start), copy: dResidual.map { $0 + start }, layout, samples: 1, to: memory.sums)
        setBackward(memory, slice, sample: sample)
        Normalize.backward(
          Stored(dx + start), x: x + start, mean: memory.mean, scale: memory.scale, shift: memory.shift,
          slope: memory.slope, dx: Stored(dx + start), layout, samples: 1)
      }
      addParameterGradients(memory, slice, piece)
    }
  }

  /// From the channels' sums of dy and dy * (x - mean), the coefficients of dx, and one sample's part of the parameters'
  /// gradients.
  private func setBackward(_ memory: GroupNormMemory, _ slice: Slice, sample: Int) {
    let weight = affine.map { slice.parameter($0.weight) }
    let (sum, product) = (memory.sums, memory.sums + layout.paddedChannels)
    for group in 0..<layer.groups {
      let (_, rstd) = kept(slice).moments(sample, group)
      var (meanGradient, slope) = (0.0, 0.0)
      for c in channels(group) {
        meanGradient += Double(weight?[c] ?? 1) * sum[c] / count
        slope += Double(weight?[c] ?? 1) * product[c] / count
        memory.gradients[c] += rstd * product[c]
        memory.gradients[layout.paddedChannels + c] += sum[c]
      }
      for c in channels(group) {
        memory.shift[c] = Float(rstd * meanGradient)
        memory.slope[c] = Float(rstd * rstd * rstd * slope)
      }
    }
  }

  private func addParameterGradients(_ memory: GroupNormMemory, _ slice: Slice, _ piece: Piece) {
    guard let affine else { return }
    let gradients = slice.gradients(piece.place)
    for (parameter, sums) in [
      (affine.weight, memory.gradients), (affine.bias, memory.gradients + layout.paddedChannels),
    ] {
      let gradient = gradients + parameter.offset
      for c in 0..<layout.paddedChannels { gradient[c] = (piece.place.adds ? gradient[c] : 0) + Float(sums[c]) }
      slice.merge(piece.place, parameter.range)
    }
  }
}

/// One worker's moments of each of its samples, and the coefficients of the sample at hand.
private final class GroupNormMemory: Sendable {
  private let doubles: AlignedBuffer<Double>
  private let floats: AlignedBuffer<Float>
  private let groups: Int
  private let channels: Int

  init(samples: Int, groups: Int, channels: Int) {
    self.groups = groups
    self.channels = channels
    doubles = AlignedBuffer(count: 4 * channels + 2 * samples * groups)
    floats = AlignedBuffer(count: 5 * channels)
  }

  /// Two sums per channel over one sample.
  var sums: UnsafeMutablePointer<Double> { doubles.start }
  /// dWeight, dBias over the samples of a piece.
  var gradients: UnsafeMutablePointer<Double> { doubles.start + 2 * channels }

  var mean: UnsafeMutablePointer<Float> { floats.start }
  /// weight * rstd
  var scale: UnsafeMutablePointer<Float> { floats.start + channels }
  var bias: UnsafeMutablePointer<Float> { floats.start + 2 * channels }
  /// rstd * mean(dz)
  var shift: UnsafeMutablePointer<Float> { floats.start + 3 * channels }
  /// rstd^2 * mean(dz * xhat)
  var slope: UnsafeMutablePointer<Float> { floats.start + 4 * channels }

  private func place(_ sample: Int, _ group: Int) -> UnsafeMutablePointer<Double> {
    doubles.start + 4 * channels + 2 * (sample * groups + group)
  }

  func moments(_ sample: Int, _ group: Int) -> (mean: Double, rstd: Double) {
    (place(sample, group)[0], place(sample, group)[1])
  }

  func setMoments(_ sample: Int, _ group: Int, mean: Double, rstd: Double) {
    place(sample, group)[0] = mean
    place(sample, group)[1] = rstd
  }
}
