import COneDNN
import CKernels
import Tensors

/// A pass by Winograd's minimal filtering.
///
/// Our own, because oneDNN has it for AVX-512 and a stride of 1 alone. It takes 2.25 (tiles of 2 x 2 outputs) or 4 (4 x 4)
/// times fewer multiplications than the direct convolution, 1.8 times fewer with a stride of 2, 3 times fewer for 7x7 kernels
/// over the image, for images of 2 x 2 nine instead of the sixteen that are not by zero; its relative error is about 1e-6,
/// against 2e-7.
final class WinogradConvolution: SummingPass {
  let weight: dnnl_memory_desc_t
  private let kind: ConvolutionPassKind
  private let shape: winograd_shape
  private let hasBias: Bool
  private let isWhole: Bool

  init(_ kind: ConvolutionPassKind, _ geometry: ConvolutionGeometry, tile: Int) {
    invariant(geometry.winogradTiles.contains(tile), "no Winograd convolution by \(tile) for \(geometry)")
    self.kind = kind
    hasBias = geometry.hasBias
    isWhole = geometry.isWholeTile && geometry.input.shape.height == tile
    shape = winograd_shape(geometry, tile: tile, isBackward: kind == .backwardData)
    let tag =
      switch (shape.block, geometry.isStem) {
      case (8, true): dnnl_Ohwi8o
      case (8, false): dnnl_OIhw8i8o
      case (_, true): dnnl_Ohwi16o
      case (_, false): dnnl_OIhw16i16o
      }
    weight = OneDNN.descriptor(geometry.weightShape, tag)
  }

  var takesAnyCount: Bool { true }

  func implementation(samples: Int) -> String {
    let tile = "\(shape.tile)x\(shape.tile)"
    if isWhole { return "winograd \(tile), whole images" }
    return "winograd F(\(tile), \(shape.tile == 3 ? "7x7" : "3x3")\(shape.stride == 2 ? " /2" : ""))"
  }

  func run(
    x: Stored, weight: UnsafePointer<Float>, y: Stored, bias: UnsafePointer<Float>?,
    adds: Bool, samples: Int, _ context: KernelContext
  ) {
    let ahead = context.ahead.stretches
    withUnsafePointer(to: shape) { shape in
      switch kind {
      case .forward:
        winograd_forward(
          shape, x.floats, weight, hasBias ? bias : nil, y.floats, Int32(samples), scratch(samples, context), ahead)
      case .backwardData:
        winograd_forward(shape, y.floats, weight, nil, x.floats, Int32(samples), scratch(samples, context), ahead)
      case .backwardWeights:
        backwardWeights(
          x, y, dWeight: UnsafeMutablePointer(mutating: weight), dBias: UnsafeMutablePointer(mutating: bias),
          adds: adds, CollectionOfOne(Summand(0..<samples, merges: 0)), context)
      }
    }
  }

  func addsUp(samples: Int) -> Bool { withUnsafePointer(to: shape) { winograd_adds_up($0, Int32(samples)) != 0 } }

  func backwardWeights(
    _ x: Stored, _ dy: Stored, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, adds: Bool,
    summands: UnsafeBufferPointer<Summand>, _ context: KernelContext
  ) {
    backwardWeights(x, dy, dWeight: dWeight, dBias: dBias, adds: adds, summands, context)
  }

  private func backwardWeights(
    _ x: Stored, _ dy: Stored, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?, adds: Bool,
    _ summands: some Collection<Summand>, _ context: KernelContext
  ) {
    let scratch = scratch(summands.reduce(0) { $0 + $1.samples.count }, context)
    withUnsafeTemporaryAllocation(of: summand.self, capacity: summands.count) { parts in
      for (number, part) in summands.enumerated() {
        parts[number] = summand(
          start: Int32(part.samples.lowerBound), samples: Int32(part.samples.count), merges: Int32(part.merges))
      }
      withUnsafePointer(to: shape) { shape in
        winograd_backward_weights(
          shape, x.floats, dy.floats, dWeight, hasBias ? dBias : nil, adds ? 1 : 0, parts.baseAddress,
          Int32(parts.count), scratch)
      }
    }
  }

  private func scratch(_ samples: Int, _ context: KernelContext) -> UnsafeMutablePointer<Float> {
    withUnsafePointer(to: shape) { context.area(0, winograd_scratch($0, Int32(samples))) }
  }
}

extension winograd_shape {
  fileprivate init(_ geometry: ConvolutionGeometry, tile: Int, isBackward: Bool) {
    let (x, y) = isBackward ? (geometry.output, geometry.input) : (geometry.input, geometry.output)
    self.init(
      block: Int32(geometry.output.block), inputs: Int32(x.paddedChannels), outputs: Int32(y.paddedChannels),
      height: Int32(x.shape.height), width: Int32(x.shape.width), output_height: Int32(y.shape.height),
      output_width: Int32(y.shape.width), padding: Int32(isBackward ? 2 - geometry.padding : geometry.padding),
      stride: Int32(geometry.stride), tile: Int32(tile), is_transposed: isBackward ? 1 : 0)
  }
}

extension ConvolutionGeometry {
  /// Multiplications per sample and pair of channels with such tiles.
  func multiplications(winogradTile tile: Int) -> Int {
    withUnsafePointer(to: winograd_shape(self, tile: tile, isBackward: false)) { winograd_multiplications($0) }
  }
}
