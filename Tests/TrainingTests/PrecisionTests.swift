import Kernels
import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// Training in bf16 is training in fp32 with numbers rounded in known places.
///
/// The oracle is the engine in fp32, one layer at a time, on inputs, gradients and weights rounded here: the results must
/// have the same bits, or be their roundings. Where the processor's own kernels for bf16 numbers add up in another order, the
/// oracle for a network is one layer at a time with those.
@Suite struct PrecisionTests {
  /// To the nearest bf16 number, ties to even: Double's own rounding, of sums whose last place is bf16's for x.
  private func rounded(_ values: [Float]) -> [Float] {
    values.map { x in
      let shift = Double(sign: .plus, exponent: Int(x.exponent) + 45, significand: 1.5)
      return x == 0 ? x : Float(Double(x) + shift - shift)
    }
  }

  /// One piece of a network, with weights of its own.
  private struct Piece {
    let layer: any Layer
    let input: SampleShape
    let number: Int
  }

  private let samples = 7

  /// Which kernels compute bf16 numbers' convolutions.
  enum Kernels: CaseIterable {
    case ofFloat32
    case usual
  }

  /// A layer's run; weights of convolutions and linear layers are rounded, or left for bf16 to round.
  private func run(
    _ piece: Piece, x: [Float], w: [Float]?, _ precision: Precision, _ kernels: Kernels = .ofFloat32
  ) throws -> LayerRun {
    var run = try LayerRun(piece.input, samples: samples, piece.layer)
    run.batches = [x]
    if let w { run.w = w }
    run.precision = precision
    if kernels == .ofFloat32 { run.algorithms = { ConvolutionAlgorithms(for: $0, inBFloat16: false) } }
    for (index, parameter) in run.parameters.enumerated() where !parameter.name.contains("running") {
      let values = LayerRun.random(parameter.count, number: 10 * piece.number + index).map { $0 * 0.3 }
      let isWeight = parameter.name.hasSuffix("weight") && !parameter.isNormalization
      run.values[parameter.name] = isWeight && precision == .float32 ? rounded(values) : values
    }
    return run
  }

  /// Kernels that take 16-bit numbers, where the processor has them, add up the same products in another order.
  private func expectSimilar(_ run: LayerRun, _ found: LayerRun.Outcome) throws {
    var run = run
    run.algorithms = nil
    let other = try run.outcome()
    #expect(relativeError(other.y, found.y) < 0.01)
    #expect(relativeError(other.dx, found.dx) < 0.01)
    for (name, gradient) in found.gradients {
      #expect(relativeError(other.gradients[name]!, gradient) < 0.01, "\(name)")
    }
  }

  private static let normReLU = Sequential { [BatchNorm(), ReLU()] }
  private static let image = SampleShape(channels: 5, height: 7, width: 6)

  static let layers: [(name: String, layer: any Layer, input: SampleShape)] = [
    ("3x3 convolution", Convolution(9, kernel: 3, padding: 1), image),
    ("3x3 convolution of plain channels", Convolution(9, kernel: 3), SampleShape(channels: 3, height: 7, width: 6)),
    ("5x5 convolution, stride 2", Convolution(4, kernel: 5, stride: 2, padding: 2, bias: false), image),
    ("linear", Linear(11), SampleShape(channels: 13, height: 1, width: 1)),
    ("batch norm and ReLU", normReLU, image),
    ("frozen batch norm", BatchNorm(statistics: .frozen), image),
    ("average pooling", AveragePooling(3, stride: 2), image),
  ]

  @Test(arguments: layers.indices) func oneLayer(_ index: Int) throws {
    let (name, layer, input) = Self.layers[index]
    let piece = Piece(layer: layer, input: input, number: 1)
    let x = LayerRun.random(samples * input.count, number: 2)
    var bfloat16 = try run(piece, x: x, w: nil, .bfloat16)
    let found = try bfloat16.outcome()
    try expectSimilar(bfloat16, found)
    let exact = try run(piece, x: rounded(x), w: rounded(bfloat16.w), .float32).outcome()
    #expect(found.y == rounded(exact.y), "\(name)")
    #expect(found.y != exact.y, "\(name)")
    #expect(found.dx == rounded(exact.dx), "\(name)")
    #expect(found.gradients == exact.gradients, "\(name)")
    // As a network's first layer, which takes the batch itself.
    bfloat16.wantsInputGradient = false
    let first = try bfloat16.outcome()
    #expect(first.y == found.y && first.gradients == found.gradients, "\(name)")
  }

  /// A network's run in bf16, with the weights of its pieces, which bear these prefixes in it.
  private func whole(
    _ network: Sequential, input: SampleShape, x: [Float], _ kernels: Kernels, _ parts: [(Piece, String)]
  ) throws -> LayerRun {
    var whole = try run(Piece(layer: network, input: input, number: 0), x: x, w: nil, .bfloat16, kernels)
    for (piece, prefix) in parts {
      for (name, values) in try run(piece, x: [], w: nil, .bfloat16).values { whole.values[prefix + name] = values }
    }
    return whole
  }

  /// A piece by itself, in fp32; a convolution with bf16's own kernels in bf16, its results rounded.
  private func exact(
    _ piece: Piece, _ x: [Float], _ w: [Float]? = nil, by kernels: Kernels
  ) throws -> LayerRun.Outcome {
    let isRounded = kernels == .usual && piece.layer is Convolution
    return try run(piece, x: x, w: w, isRounded ? .bfloat16 : .float32, kernels).outcome()
  }

  /// Activations and gradients that cross from one segment to another, and from one layout to another.
  @Test(arguments: Kernels.allCases) func layersInARow(kernels: Kernels) throws {
    let hidden = SampleShape(channels: 4, height: 7, width: 6)
    let pieces = [
      Piece(layer: Convolution(4, kernel: 3, padding: 1), input: Self.image, number: 1),
      Piece(layer: Self.normReLU, input: hidden, number: 2),
      Piece(layer: Sequential { [Flatten(), Linear(5)] }, input: hidden, number: 3),
    ]
    let prefixes = ["0.", "1.", "2."]
    let x = LayerRun.random(samples * Self.image.count, number: 2)
    let network = Sequential { pieces.map(\.layer) }
    let bfloat16 = try whole(network, input: Self.image, x: x, kernels, Array(zip(pieces, prefixes)))
    let found = try bfloat16.outcome()

    var inputs = [rounded(x)]
    for piece in pieces { inputs.append(rounded(try exact(piece, inputs.last!, by: kernels).y)) }
    #expect(found.y == inputs.last!)
    var gradient = rounded(bfloat16.w)
    for (number, piece) in pieces.enumerated().reversed() {
      let outcome = try exact(piece, inputs[number], gradient, by: kernels)
      for (name, values) in outcome.gradients {
        #expect(found.gradients[prefixes[number] + name] == values, "\(prefixes[number])\(name)")
      }
      gradient = rounded(outcome.dx)
    }
    #expect(found.dx == gradient)
  }

  /// The gradient of an activation that three operations read, in three segments: each adds to it in fp32, and it is
  /// rounded where it is kept and where it is complete.
  @Test(arguments: Kernels.allCases) func sumOfGradients(kernels: Kernels) throws {
    let input = Self.image
    let convolution = Convolution(5, kernel: 3, padding: 1)
    let (first, inner, outer) = (
      Piece(layer: convolution, input: input, number: 1), Piece(layer: convolution, input: input, number: 2),
      Piece(layer: convolution, input: input, number: 3)
    )
    let (innerNorm, outerNorm) = (
      Piece(layer: BatchNorm(), input: input, number: 4), Piece(layer: BatchNorm(), input: input, number: 5)
    )
    let network = Sequential {
      first.layer
      Residual(rectifies: false) {
        Residual(rectifies: false) { [inner.layer, innerNorm.layer] }
        outer.layer
        outerNorm.layer
      }
    }
    let x = rounded(LayerRun.random(samples * input.count, number: 2))
    let bfloat16 = try whole(
      network, input: input, x: x, kernels,
      [(first, "0."), (inner, "1.0.0."), (innerNorm, "1.0.1."), (outer, "1.1."), (outerNorm, "1.2.")])
    let found = try bfloat16.outcome()

    func sum(_ a: [Float], _ b: [Float]) -> [Float] { rounded(zip(a, b).map { $0 + $1 }) }
    let r = rounded(try exact(first, x, by: kernels).y)
    let c1 = rounded(try exact(inner, r, by: kernels).y)
    let q = sum(try exact(innerNorm, c1, by: kernels).y, r)
    let c2 = rounded(try exact(outer, q, by: kernels).y)
    let dy = rounded(bfloat16.w)
    let atOuterNorm = try exact(outerNorm, c2, dy, by: kernels)
    #expect(found.y == sum(atOuterNorm.y, r))
    let atOuter = try exact(outer, q, rounded(atOuterNorm.dx), by: kernels)
    let dq = rounded(atOuter.dx)
    let atInner = try exact(inner, r, rounded(try exact(innerNorm, c1, dq, by: kernels).dx), by: kernels)
    let atFirst = try exact(first, x, sum(sum(dy, dq), atInner.dx), by: kernels)
    #expect(found.gradients["1.1.weight"] == atOuter.gradients["weight"])
    #expect(found.gradients["1.0.0.weight"] == atInner.gradients["weight"])
    // What the inner convolution adds is not rounded before it is added.
    let tolerance = kernels == .usual ? 2e-3 : 0
    #expect(relativeError(found.gradients["0.weight"]!, atFirst.gradients["weight"]!) <= tolerance)
    #expect(relativeError(found.dx, rounded(atFirst.dx)) <= tolerance)
  }

  /// A batch norm whose input others read too, who add to its gradient: the identity, or a batch norm with frozen statistics,
  /// which reads what an earlier segment has kept and alone sends a gradient back there.
  @Test(arguments: Kernels.allCases, [false, true])
  func sharedInputOfBatchNorm(kernels: Kernels, isFrozenShortcut: Bool) throws {
    let input = Self.image
    let convolution = Convolution(5, kernel: 3, padding: 1)
    let (first, norm, inner, frozen) = (
      Piece(layer: convolution, input: input, number: 1), Piece(layer: Self.normReLU, input: input, number: 2),
      Piece(layer: convolution, input: input, number: 3),
      Piece(layer: BatchNorm(statistics: .frozen), input: input, number: 4)
    )
    let network = Sequential {
      first.layer
      Residual(rectifies: false, shortcut: isFrozenShortcut ? Sequential { frozen.layer } : nil) {
        norm.layer
        inner.layer
      }
    }
    let x = rounded(LayerRun.random(samples * input.count, number: 2))
    let bfloat16 = try whole(
      network, input: input, x: x, kernels,
      [(first, "0."), (norm, "1.0."), (inner, "1.1.")] + (isFrozenShortcut ? [(frozen, "1.downsample.0.")] : []))
    let found = try bfloat16.outcome()

    let r = rounded(try exact(first, x, by: kernels).y)
    let n = rounded(try exact(norm, r, by: kernels).y)
    let c = rounded(try exact(inner, n, by: kernels).y)
    let dy = rounded(bfloat16.w)
    let atFrozen = isFrozenShortcut ? try exact(frozen, r, dy, by: kernels) : nil
    #expect(found.y == rounded(zip(c, atFrozen?.y ?? r).map { $0 + $1 }))
    let atInner = try exact(inner, n, dy, by: kernels)
    let atNorm = try exact(norm, r, rounded(atInner.dx), by: kernels)
    let dr = rounded(atFrozen?.dx ?? dy)
    let atFirst = try exact(first, x, rounded(zip(dr, atNorm.dx).map { $0 + $1 }), by: kernels)
    #expect(found.gradients["1.1.weight"] == atInner.gradients["weight"])
    #expect(found.gradients["1.0.0.weight"] == atNorm.gradients["0.weight"])
    #expect(found.gradients["1.downsample.0.weight"] == atFrozen?.gradients["weight"])
    #expect(found.gradients["0.weight"] == atFirst.gradients["weight"])
    #expect(found.dx == rounded(atFirst.dx))
  }

  /// Any mixture of kernels that take 16-bit numbers and of others, in convolutions one behind the other and side by side.
  @Test(.enabled(if: InstructionSet.hasAMX, "the processor has no AMX")) func mixedKernels() throws {
    let convolution = Convolution(16, kernel: 3, padding: 1)
    let network = Sequential {
      [convolution, convolution]
      Residual {
        convolution
        BatchNorm()
      }
    }
    let x = LayerRun.random(samples * Self.image.count, number: 2)
    var run = try run(Piece(layer: network, input: Self.image, number: 1), x: x, w: nil, .bfloat16)
    let expected = try run.outcome()
    // The inputs' channels are fewer in the first one alone.
    for first in 0..<8 {
      for others in 0..<8 {
        run.algorithms = { geometry in
          let choice = geometry.input.shape.channels == 5 ? first : others
          var algorithms = ConvolutionAlgorithms(.winograd(tile: 2))
          for (number, pass) in ConvolutionPassKind.allCases.enumerated() where choice >> number & 1 == 1 {
            algorithms[pass] = .amx
          }
          return algorithms
        }
        let found = try run.outcome()
        #expect(relativeError(found.y, expected.y) < 0.01, "\(first), \(others)")
        #expect(relativeError(found.dx, expected.dx) < 0.01, "\(first), \(others)")
        // In front of a batch norm a bias has no gradient but rounding.
        for (name, gradient) in expected.gradients where !name.hasSuffix("2.0.bias") {
          #expect(relativeError(found.gradients[name]!, gradient) < 0.01, "\(name), \(first), \(others)")
        }
      }
    }
  }

  /// A batch norm that learns nothing, in front of the first convolution: nobody wants its gradient.
  @Test func normalizedBatch() throws {
    let network = Sequential { [BatchNorm(affine: false), Convolution(9, kernel: 3, padding: 1)] }
    let x = LayerRun.random(samples * Self.image.count, number: 2)
    var run = try run(
      Piece(layer: network, input: Self.image, number: 1), x: x, w: nil, .bfloat16, .usual)
    let inside = try run.outcome()
    run.wantsInputGradient = false
    let first = try run.outcome()
    #expect(first.y == inside.y && first.gradients == inside.gradients)
  }

  /// As close to fp32 as bf16's 8 bits let a few small steps be.
  @Test(arguments: ["mlp", "resnet20"]) func lossesFollowThoseOfFloat32(model: String) throws {
    let input = SampleShape(channels: 3, height: 12, width: 12)
    var run = TrainingRun(input: input, batchSize: 40) {
      try ModelZoo.model(model, ModelOptions(input: input, classCount: 10))
    }
    run.learningRate = 0.005
    let exact = try run.outcome(ranks: 1, threads: 2).losses
    run.precision = .bfloat16
    let found = try run.outcome(ranks: 1, threads: 2).losses
    for (loss, expected) in zip(found, exact) {
      #expect(abs(loss - expected) <= 0.01 * expected, "\(found) for \(exact)")
    }
    #expect(found != exact)
  }
}
