import Kernels
import Tensors

/// Two-dimensional convolution (in PyTorch's sense, a correlation).
///
///     y[n, k, i, j] = bias[k] + sum_{c, r, s} x[n, c, i * stride + r * dilation - padding, ...] * weight[k, c, r, s]
///
/// x: [N, C, H, W], weight: [K, C / groups, R, S], y: [N, K, H', W'],
/// H' = (H + 2 padding - dilation (R - 1) - 1) / stride + 1.
/// Begins He normal by default (fan out, as torchvision's networks), the bias as PyTorch's `Conv2d`.
public struct Convolution: Layer {
  var outputs: Int
  var kernel: Int
  var stride: Int
  var padding: Int
  var dilation: Int
  var groups: Int
  var hasBias: Bool

  public init(
    _ outputs: Int, kernel: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1,
    bias: Bool = true
  ) {
    self.outputs = outputs
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.groups = groups
    hasBias = bias
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    let extent = dilation * (kernel - 1) + 1
    guard min(outputs, kernel, stride, dilation, groups) > 0, padding >= 0 else {
      throw network.error("a convolution's outputs, kernel, stride, dilation and groups must be positive")
    }
    guard x.shape.height + 2 * padding >= extent, x.shape.width + 2 * padding >= extent else {
      throw network.error(
        "a kernel of \(extent)x\(extent) does not fit into an image of \(x.shape), padded by \(padding)")
    }
    guard x.shape.channels % groups == 0, outputs % groups == 0 else {
      throw network.error("\(groups) groups do not divide \(x.shape.channels) inputs and \(outputs) outputs")
    }
    let shape = SampleShape(
      channels: outputs, height: (x.shape.height + 2 * padding - extent) / stride + 1,
      width: (x.shape.width + 2 * padding - extent) / stride + 1)
    // oneDNN's kernels for the first layer take up to three plain channels; all others want blocks.
    let x = x.block == 1 && x.shape.channels <= 3 && groups == 1 ? x : network.blocked(x)
    let area = kernel * kernel
    let fanIn = x.shape.channels / groups * area
    let weight = network.parameter(
      "weight", [outputs, x.shape.channels / groups, kernel, kernel], .weight,
      .heNormal(fanOut: outputs / groups * area))
    let bias = hasBias ? network.parameter("bias", [outputs], .bias, .standard(fanIn: fanIn)) : nil
    return network.append(
      ConvolutionOperation(network.path, self, x, network.value(shape), weight, bias))
  }
}

final class ConvolutionOperation: TunableConvolution, @unchecked Sendable {
  let wiring: Wiring
  let geometry: ConvolutionGeometry
  private let weight: Parameter
  private let bias: Parameter?
  private var kernel: ConvolutionKernel!
  private var forwardWeight = AlignedBuffer<Float>(count: 0)
  /// Where a copy of the weight is for the backward pass, if that wants one.
  private var backwardPlace: Int?
  private var sliceSize = 1

  init(_ name: String, _ layer: Convolution, _ x: Value, _ y: Value, _ weight: Parameter, _ bias: Parameter?) {
    geometry = ConvolutionGeometry(
      input: x.layout, output: y.layout, kernelHeight: layer.kernel, kernelWidth: layer.kernel, stride: layer.stride,
      padding: layer.padding, dilation: layer.dilation, groups: layer.groups, hasBias: layer.hasBias)
    self.weight = weight
    self.bias = bias
    wiring = Wiring(name, [x], y)
  }

  var kind: String {
    "Convolution \(geometry.kernelHeight)x\(geometry.kernelWidth)" + (geometry.stride > 1 ? " /\(geometry.stride)" : "")
  }
  var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
  func backwardReads(input: Int) -> Bool { true }
  var flopsPerSample: Int { 2 * weight.count * output.shape.positions }
  var implementations: [String] { kernel.implementations(samples: sliceSize) }

  func compile(_ target: CompileTarget) {
    sliceSize = target.sliceSize
    kernel = ConvolutionKernel(
      geometry, target.algorithms?[name] ?? ConvolutionAlgorithms(for: geometry, inBFloat16: target.inBFloat16),
      samples: sliceSize, needsInputGradient: wiring.needsInputGradient[0])
    weight.layout = kernel.weightLayout
    if let layout = kernel.biasLayout { bias?.layout = layout }
    forwardWeight = AlignedBuffer(count: kernel.forwardWeightCount)
  }

  /// 16-bit numbers wherever the kernels take them; what it writes are Floats, unless others want nothing else.
  func forms(_ offered: StorageForms) -> StorageForms? {
    var forms = StorageForms(inputCount: 1)
    if kernel.backwardTakesHalves {
      if offered.backwardInputs[0] == .halves { forms.backwardInputs[0] = .halves }
      if offered.outputGradient == .halves { forms.outputGradient = .halves }
    }
    return forms
  }

  func takesHalves(input: Int) -> Bool { kernel.forwardTakesHalves && kernel.backwardTakesHalves }
  var leavesHalves: Bool { kernel.forwardTakesHalves }
  var takesGradientInHalves: Bool { kernel.backwardTakesHalves }
  var leavesGradientInHalves: Bool { kernel.backwardTakesHalves && !wiring.addsToInputGradient[0] }

  var backwardWeightCount: Int { kernel.backwardWeightCount }

  func placeBackwardWeights(_ place: Int) { backwardPlace = place }

  func needsPreparation(_ mode: Mode) -> Bool { forwardWeight.count > 0 }
  func prepare(_ parameters: UnsafePointer<Float>, _ context: KernelContext) {
    kernel.prepareForward(parameters + weight.offset, into: forwardWeight.start, context)
  }

  /// Transforms the weight, one worker all of it.
  func prepareBackward(_ worker: Worker, _ share: Share) {
    guard let backwardPlace, share.index == 0 else { return }
    kernel.prepareBackward(
      worker.parameters + weight.offset, into: worker.backwardWeights + backwardPlace, worker.kernels)
  }

  func forward(_ slice: Slice) {
    let (x, y) = (slice.stored(inputs[0], forms.inputs[0]), slice.stored(output, forms.output))
    let weight = forwardWeight.count > 0 ? UnsafePointer(forwardWeight.start) : slice.parameter(weight)
    let bias = bias.map { slice.parameter($0) }
    slice.forEachCall(whole: kernel.forwardTakesAnyCount) { start, count in
      kernel.forward(
        x + start * xStride, weight: weight, bias: bias, y: y + start * yStride, samples: count, slice.kernels)
    }
  }

  func backward(_ slice: Slice) {
    let x = slice.stored(inputs[0], forms.backwardInputs[0])
    let dy = slice.storedGradient(output, forms.outputGradient)
    func put(_ place: GradientPlace, _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>?) -> Void) {
      let gradients = slice.gradients(place)
      body(gradients + weight.offset, bias.map { gradients + $0.offset })
      slice.merge(place, weight.range)
      if let bias { slice.merge(place, bias.range) }
    }
    for run in slice.runs {
      if kernel.addsUp(samples: run.samples.count) {
        put(run.place) { dWeight, dBias in
          kernel.backwardWeights(
            x + run.samples.lowerBound * xStride, dy + run.samples.lowerBound * yStride, dWeight: dWeight, dBias: dBias,
            adds: run.place.adds, summands: run.summands, slice.kernels)
        }
      } else {
        for piece in run.pieces {
          put(piece.place) { dWeight, dBias in
            kernel.backwardWeights(
              x + piece.start * xStride, dy + piece.start * yStride, dWeight: dWeight, dBias: dBias,
              adds: piece.place.adds, samples: piece.count, slice.kernels)
          }
        }
      }
    }
    // Last, so that the cache still has it where it is read next.
    if let dx = slice.storedInputGradient(self, 0) {
      let weight = backwardPlace.map { UnsafePointer(slice.backwardWeights + $0) } ?? slice.parameter(weight)
      slice.forEachCall(whole: kernel.backwardDataTakesAnyCount) { start, count in
        kernel.backwardData(
          dy + start * yStride, weight: weight, dx: dx + start * xStride, samples: count, slice.kernels)
      }
    }
  }

  private var xStride: Int { inputs[0].layout.sampleStride }
  private var yStride: Int { output.layout.sampleStride }
}
