import COneDNN
import CKernels
import Tensors

/// A pass by Winograd's minimal filtering.
///
/// Our own, because oneDNN has it for AVX-512 alone. It takes 2.25 (tiles of 2 x 2 outputs) or 4 (4 x 4) times fewer
/// multiplications than the direct convolution; its relative error is about 1e-6, against 2e-7.
final class WinogradConvolution: ConvolutionPass {
  let weight: dnnl_memory_desc_t
  private let kind: ConvolutionPassKind
  private let shape: winograd_shape
  private let hasBias: Bool

  init(_ kind: ConvolutionPassKind, _ geometry: ConvolutionGeometry, tile: Int) {
    invariant(geometry.suitsWinograd, "no Winograd convolution for \(geometry)")
    self.kind = kind
    hasBias = geometry.hasBias
    let isBackward = kind == .backwardData
    let (x, y) = isBackward ? (geometry.output, geometry.input) : (geometry.input, geometry.output)
    shape = winograd_shape(
      block: Int32(x.block), inputs: Int32(x.paddedChannels), outputs: Int32(y.paddedChannels),
      height: Int32(x.shape.height), width: Int32(x.shape.width), output_height: Int32(y.shape.height),
      output_width: Int32(y.shape.width), padding: Int32(isBackward ? 2 - geometry.padding : geometry.padding),
      tile: Int32(tile))
    let tag =
      switch (x.block, isBackward) {
      case (8, false): dnnl_OIhw8i8o
      case (8, true): dnnl_OIhw8o8i
      case (16, false): dnnl_OIhw16i16o
      default: dnnl_OIhw16o16i
      }
    weight = OneDNN.descriptor(geometry.weightShape, tag)
  }

  var takesAnyCount: Bool { true }

  func implementation(samples: Int) -> String { "winograd F(\(shape.tile)x\(shape.tile), 3x3)" }

  func run(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, y: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    adds: Bool, samples: Int, _ context: KernelContext
  ) {
    let scratch = withUnsafePointer(to: shape) { context.area(0, winograd_scratch($0, Int32(samples))) }
    let bias = hasBias ? bias : nil
    let ahead = context.ahead.stretches
    withUnsafePointer(to: shape) { shape in
      switch kind {
      case .forward:
        winograd_forward(shape, x, weight, 0, bias, UnsafeMutablePointer(mutating: y), Int32(samples), scratch, ahead)
      case .backwardData:
        winograd_forward(shape, y, weight, 1, nil, UnsafeMutablePointer(mutating: x), Int32(samples), scratch, ahead)
      case .backwardWeights:
        winograd_backward_weights(
          shape, x, y, UnsafeMutablePointer(mutating: weight), UnsafeMutablePointer(mutating: bias), adds ? 1 : 0,
          Int32(samples), scratch)
      }
    }
  }
}
