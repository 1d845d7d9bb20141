import Tensors

/// How a convolution computes one of its passes.
package enum ConvolutionAlgorithm: Hashable, Sendable, Codable, CustomStringConvertible {
  /// oneDNN's direct convolution.
  case direct
  /// Winograd's, with tiles of `tile` x `tile` outputs: 2 or 4, or 1 if the image has one pixel.
  case winograd(tile: Int)
  /// Directly, by AMX's products of bf16 numbers.
  case amx

  package static let all: [ConvolutionAlgorithm] = [.direct] + [1, 2, 4].map { .winograd(tile: $0) } + [.amx]

  package var description: String {
    switch self {
    case .direct: "direct"
    case .winograd(let tile): "winograd-\(tile)"
    case .amx: "amx"
    }
  }

  package init(from decoder: any Decoder) throws {
    let name = try decoder.singleValueContainer().decode(String.self)
    guard let found = Self.all.first(where: { $0.description == name }) else {
      throw LockstepError(
        "no convolution is called \(name); there are \(Self.all.map(\.description).joined(separator: ", "))")
    }
    self = found
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// Which algorithm computes which pass. Decides the result's bits.
package struct ConvolutionAlgorithms: Hashable, Sendable, Codable {
  package var forward: ConvolutionAlgorithm
  package var backwardData: ConvolutionAlgorithm
  package var backwardWeights: ConvolutionAlgorithm

  private enum CodingKeys: String, CodingKey {
    case forward
    case backwardData = "backward_data"
    case backwardWeights = "backward_weights"
  }

  package subscript(_ pass: ConvolutionPassKind) -> ConvolutionAlgorithm {
    get {
      switch pass {
      case .forward: forward
      case .backwardData: backwardData
      case .backwardWeights: backwardWeights
      }
    }
    set {
      switch pass {
      case .forward: forward = newValue
      case .backwardData: backwardData = newValue
      case .backwardWeights: backwardWeights = newValue
      }
    }
  }

  /// One algorithm for all passes.
  package init(_ all: ConvolutionAlgorithm) {
    (forward, backwardData, backwardWeights) = (all, all, all)
  }

  /// The usual choice: a function of shapes and instruction set alone.
  ///
  /// Winograd's wherever there is one, with the tiles that take fewer multiplications. GFLOP/s of a direct computation,
  /// one core of two of a Zen 3 EPYC (AVX2, 89 GFLOP/s at its peak), 16 samples per call, forward / backward data /
  /// backward weights, by `lockstep tune --model resnet20 --save FILE`:
  ///
  ///     16 -> 16 @32x32    direct 62 / 70 / 42    2x2  59 /  62 / 58    4x4  70 /  73 /  62
  ///     32 -> 32 @16x16    direct 67 / 90 / 52    2x2 103 / 128 / 84    4x4 132 / 177 / 115
  ///     64 -> 64 @8x8      direct 57 / 70 / 51    2x2 109 / 107 / 93    4x4 142 / 134 / 117
  package init(for geometry: ConvolutionGeometry, inBFloat16: Bool) {
    if inBFloat16, geometry.suitsAMX {
      self.init(.amx)
      return
    }
    let tile = geometry.winogradTiles.reversed().min {
      geometry.multiplications(winogradTile: $0) < geometry.multiplications(winogradTile: $1)
    }
    self.init(tile.map { .winograd(tile: $0) } ?? .direct)
  }
}

extension ConvolutionGeometry {
  /// All that can compute the convolution, of any numbers or of bf16 numbers.
  package func algorithms(inBFloat16: Bool) -> [ConvolutionAlgorithm] {
    [.direct] + winogradTiles.map { .winograd(tile: $0) } + (inBFloat16 && suitsAMX ? [.amx] : [])
  }

  /// The sides of the tiles in which there is a Winograd form.
  var winogradTiles: [Int] {
    guard
      (kernelHeight, kernelWidth) == (3, 3) && (stride, dilation, groups) == (1, 1, 1) && padding <= 2
        && input.block == output.block && input.block > 1
    else { return [] }
    return (input.shape.height, input.shape.width, padding) == (1, 1, 1) ? [1, 2, 4] : [2, 4]
  }
}
