import Tensors

/// How a convolution computes one of its passes.
package enum ConvolutionAlgorithm: Hashable, Sendable, Codable, CustomStringConvertible {
  /// oneDNN's direct convolution.
  case direct
  /// Winograd's, with tiles of `tile` x `tile` outputs: 2 or 4, 1 if the image has one pixel, 3 for the stem.
  case winograd(tile: Int)
  /// Directly, by AMX's products of bf16 numbers.
  case amx

  package static let all: [ConvolutionAlgorithm] = [.direct] + [1, 2, 3, 4].map { .winograd(tile: $0) } + [.amx]

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
  /// Of Floats Winograd's wherever there is one, with the tiles that take fewer multiplications. GFLOP/s of a direct
  /// computation, one core of two of a Zen 3 EPYC (AVX2, 89 GFLOP/s at its peak), 16 samples per call, forward / backward
  /// data / backward weights, by `lockstep tune --model resnet20 --save FILE`:
  ///
  ///     16 -> 16 @32x32    direct 62 / 70 / 42    2x2  59 /  62 / 58    4x4  70 /  73 /  62
  ///     32 -> 32 @16x16    direct 67 / 90 / 52    2x2 103 / 128 / 84    4x4 132 / 177 / 115
  ///     64 -> 64 @8x8      direct 57 / 70 / 51    2x2 109 / 107 / 93    4x4 142 / 134 / 117
  ///
  /// With a stride of 2 transforms take more of the time, too much on fewer than 32 channels. On one core of two of a Xeon of
  /// the fourth generation (2.6 GHz, 145 GFLOP/s by AVX-512), by the same command, and with `--model resnet18 --shape
  /// 3,224,224 --classes 1000 --batch-size 32`:
  ///
  ///     16 -> 32 @32x32 /2    direct 154 / 126 / 124    4x4 148 /  96 / 105
  ///     32 -> 64 @16x16 /2    direct 154 / 131 / 131    4x4 176 / 151 / 145
  ///     256 -> 512 @14x14 /2  direct 154 / 115 /  62    4x4 175 / 148 /  80
  ///     3 -> 64 @224x224 /2   direct 159 /     / 111    3x3 169 /     / 148
  ///
  /// Of bf16 numbers AMX's, but for the weight's gradient of images as small as a tile, which fill few of a product's pixels.
  /// On the same core, by `lockstep tune --precision bf16 --model resnet20 --save FILE`, the last two with `--model vgg11`:
  ///
  ///     16 -> 16 @32x32    direct 118 /  89 /  89    4x4 204 / 135 / 166    AMX  582 /  234 / 225
  ///     32 -> 32 @16x16    direct 114 / 108 / 103    4x4 227 / 230 / 220    AMX  573 /  530 / 292
  ///     512 -> 512 @4x4    direct 172 / 209 / 100    4x4 308 / 296 / 220    AMX  957 / 1157 / 316
  ///     512 -> 512 @2x2    direct 129 / 165 /  37    2x2 293 / 293 / 144    AMX  987 /  865 /  73
  package init(for geometry: ConvolutionGeometry, inBFloat16: Bool) {
    let tile = geometry.winogradTiles.reversed().min {
      geometry.multiplications(winogradTile: $0) < geometry.multiplications(winogradTile: $1)
    }
    let isThin = geometry.stride == 2 && !geometry.isStem && geometry.input.shape.channels < 32
    let usual = isThin ? .direct : tile.map { ConvolutionAlgorithm.winograd(tile: $0) } ?? .direct
    self.init(inBFloat16 && geometry.suitsAMX ? .amx : usual)
    if geometry.isWholeTile { backwardWeights = usual }
  }
}

extension ConvolutionGeometry {
  /// All that can compute the convolution, of any numbers or of bf16 numbers.
  package func algorithms(inBFloat16: Bool) -> [ConvolutionAlgorithm] {
    [.direct] + winogradTiles.map { .winograd(tile: $0) } + (inBFloat16 && suitsAMX ? [.amx] : [])
  }

  /// The sides of the tiles in which there is a Winograd form.
  var winogradTiles: [Int] {
    if isStem { return [3] }
    guard
      (kernelHeight, kernelWidth) == (3, 3) && (dilation, groups) == (1, 1) && input.block == output.block
        && input.block > 1
    else { return [] }
    if stride == 2 && padding == 1 { return [4] }
    guard stride == 1 && padding <= 2 else { return [] }
    return (input.shape.height, input.shape.width, padding) == (1, 1, 1) ? [1, 2, 4] : [2, 4]
  }

  /// Whether this is ImageNet networks' first layer, 7x7 with a stride of 2 over the image itself, whose gradient nobody
  /// wants.
  var isStem: Bool {
    (kernelHeight, kernelWidth) == (7, 7) && (stride, padding, dilation, groups) == (2, 3, 1, 1) && input.block == 1
      && input.shape.channels <= 4 && output.block > 1
  }

  /// Whether an image is as small as a tile that has no neighbors but zeros.
  var isWholeTile: Bool {
    (stride, padding) == (1, 1) && input.shape.height == input.shape.width && input.shape.height <= 2
      && !winogradTiles.isEmpty
  }
}
