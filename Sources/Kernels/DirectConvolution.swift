import COneDNN
import Tensors

/// A pass by oneDNN's direct convolution, on blocks of channels wherever oneDNN has a kernel for them.
///
/// For some shapes it has only its reference code, a hundred times slower: AVX2's weight gradients of images smaller than
/// the kernel, say, or groups that are no whole blocks. There the activations are copied to the plain layout, for which
/// there is a kernel based on matrix products. Which of the two is a function of the shape. Primitives are made once per
/// number of samples.
final class DirectConvolution: ConvolutionPass {
  let weight: dnnl_memory_desc_t

  private let kind: ConvolutionPassKind
  /// The layouts of the caller.
  private let outer: ConvolutionGeometry
  /// The layouts of the kernel.
  private let inner: ConvolutionGeometry
  private let primitives = Cache<Int, Primitive>()
  private let copies = Cache<Copy, Primitive>()

  private struct Copy: Hashable, Sendable {
    let source: ActivationLayout
    let destination: ActivationLayout
    let samples: Int
  }

  init(_ kind: ConvolutionPassKind, _ geometry: ConvolutionGeometry, samples: Int) {
    self.kind = kind
    outer = geometry
    let blocked = geometry.descriptor(kind, samples: samples, weight: geometry.anyWeight)
    let plain =
      blocked.isReference ? geometry.plain.descriptor(kind, samples: samples, weight: geometry.anyWeight) : nil
    if let plain, !plain.isReference {
      inner = geometry.plain
      weight = plain.layout(kind.weightQuery)
    } else {
      inner = geometry
      weight = blocked.layout(kind.weightQuery)
    }
  }

  /// oneDNN may block its loops by the number of samples.
  var takesAnyCount: Bool { false }

  func implementation(samples: Int) -> String {
    primitives.with(samples, make: { make(samples) }) { $0.implementation }
  }

  func run(
    x: Stored, weight: UnsafePointer<Float>, y: Stored, bias: UnsafePointer<Float>?,
    adds: Bool, samples: Int, _ context: KernelContext
  ) {
    guard let x = x.floats, let y = y.floats else { invariantFailure("oneDNN's convolutions take Floats") }
    run(
      x: UnsafePointer(x), weight: weight, y: UnsafePointer(y), bias: bias, adds: adds, samples: samples, context)
  }

  private func run(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, y: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    adds: Bool, samples: Int, _ context: KernelContext
  ) {
    if adds {
      let weightCount = withUnsafePointer(to: self.weight) { dnnl_memory_desc_get_size($0) } / MemoryLayout<Float>.size
      let scratch = context.area(2, paddedCount(weightCount) + outer.output.paddedChannels)
      let biasScratch = scratch + paddedCount(weightCount)
      run(
        x: x, weight: scratch, y: y, bias: bias == nil ? nil : biasScratch, adds: false, samples: samples, context)
      Elementwise.add(scratch, to: UnsafeMutablePointer(mutating: weight), count: weightCount)
      if let bias {
        Elementwise.add(
          biasScratch, to: UnsafeMutablePointer(mutating: bias), count: inner.output.shape.channels)
      }
      return
    }
    let innerX = outer.input == inner.input ? x : UnsafePointer(context.area(0, samples * inner.input.sampleStride))
    let innerY = outer.output == inner.output ? y : UnsafePointer(context.area(1, samples * inner.output.sampleStride))
    if innerX != x, kind != .backwardData { copy(x, outer.input, innerX, inner.input, samples, context) }
    if innerY != y, kind != .forward { copy(y, outer.output, innerY, inner.output, samples, context) }
    primitives.with(samples, make: { make(samples) }) { context.run($0, innerX, weight, innerY, bias) }
    if kind == .backwardWeights, let bias {
      // oneDNN writes the channels; the padding's gradient is ours to keep at 0.
      let channels = outer.output.shape.channels
      (UnsafeMutablePointer(mutating: bias) + channels).update(
        repeating: 0, count: outer.output.paddedChannels - channels)
    }
    if innerX != x, kind == .backwardData { copy(innerX, inner.input, x, outer.input, samples, context) }
    if innerY != y, kind == .forward { copy(innerY, inner.output, y, outer.output, samples, context) }
  }

  private func copy(
    _ source: UnsafePointer<Float>, _ from: ActivationLayout, _ destination: UnsafePointer<Float>,
    _ to: ActivationLayout, _ samples: Int, _ context: KernelContext
  ) {
    copies.with(
      Copy(source: from, destination: to, samples: samples),
      make: { Reorder.primitive(from: from, to: to, samples: samples) }
    ) { context.run($0, source, destination) }
  }

  private func make(_ samples: Int) -> Primitive {
    let descriptor = inner.descriptor(kind, samples: samples, weight: weight)
    let x = OneDNN.descriptor(inner.input, samples: samples)
    let y = OneDNN.descriptor(inner.output, samples: samples)
    let bias = OneDNN.descriptor(vector: inner.output.shape.channels)
    var arguments: [(kind: Int32, layout: dnnl_memory_desc_t)]
    switch kind {
    case .forward:
      arguments = [(DNNL_ARG_SRC, x), (DNNL_ARG_WEIGHTS, weight), (DNNL_ARG_DST, y), (DNNL_ARG_BIAS, bias)]
    case .backwardData:
      arguments = [(DNNL_ARG_DIFF_SRC, x), (DNNL_ARG_WEIGHTS, weight), (DNNL_ARG_DIFF_DST, y)]
    case .backwardWeights:
      arguments = [
        (DNNL_ARG_SRC, x), (DNNL_ARG_DIFF_WEIGHTS, weight), (DNNL_ARG_DIFF_DST, y), (DNNL_ARG_DIFF_BIAS, bias),
      ]
    }
    if !inner.hasBias, arguments.count == 4 { arguments.removeLast() }
    return Primitive(descriptor, arguments)
  }
}

extension ConvolutionPassKind {
  fileprivate var weightQuery: dnnl_query_t {
    self == .backwardWeights ? dnnl_query_diff_weights_md : dnnl_query_weights_md
  }
}

extension PrimitiveDescriptor {
  fileprivate var isReference: Bool { implementation.hasPrefix("ref") }
}
