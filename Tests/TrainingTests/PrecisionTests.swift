import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// Training in bf16 is training in fp32 with numbers rounded in known places.
///
/// The oracle is the engine in fp32, one layer at a time, on inputs, gradients and weights rounded here: the results must
/// have the same bits, or be their roundings.
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

  /// A layer's run; weights of convolutions and linear layers are rounded, or left for bf16 to round.
  private func run(_ piece: Piece, x: [Float], w: [Float]?, _ precision: Precision) throws -> LayerRun {
    var run = try LayerRun(piece.input, samples: samples, piece.layer)
    run.batches = [x]
    if let w { run.w = w }
    run.precision = precision
    for (index, parameter) in run.parameters.enumerated() where !parameter.name.contains("running") {
      let values = LayerRun.random(parameter.count, number: 10 * piece.number + index).map { $0 * 0.3 }
      let isWeight = parameter.name.hasSuffix("weight") && !parameter.isNormalization
      run.values[parameter.name] = isWeight && precision == .float32 ? rounded(values) : values
    }
    return run
  }

  private static let image = SampleShape(channels: 5, height: 7, width: 6)

  static let layers: [(name: String, layer: any Layer, input: SampleShape)] = [
    ("3x3 convolution", Convolution(9, kernel: 3, padding: 1), image),
    ("3x3 convolution of plain channels", Convolution(9, kernel: 3), SampleShape(channels: 3, height: 7, width: 6)),
    ("5x5 convolution, stride 2", Convolution(4, kernel: 5, stride: 2, padding: 2, bias: false), image),
    ("linear", Linear(11), SampleShape(channels: 13, height: 1, width: 1)),
    (
      "batch norm and ReLU",
      Sequential {
        BatchNorm(); ReLU()
      }, image
    ),
    ("average pooling", AveragePooling(3, stride: 2), image),
  ]

  @Test(arguments: layers.indices) func oneLayer(_ index: Int) throws {
    let (name, layer, input) = Self.layers[index]
    let piece = Piece(layer: layer, input: input, number: 1)
    let x = LayerRun.random(samples * input.count, number: 2)
    let bfloat16 = try run(piece, x: x, w: nil, .bfloat16)
    let found = try bfloat16.outcome()
    let exact = try run(piece, x: rounded(x), w: rounded(bfloat16.w), .float32).outcome()
    #expect(found.y == rounded(exact.y), "\(name)")
    #expect(found.y != exact.y, "\(name)")
    #expect(found.dx == rounded(exact.dx), "\(name)")
    #expect(found.gradients == exact.gradients, "\(name)")
  }

  /// Activations and gradients that cross from one segment to another, and from one layout to another.
  @Test func layersInARow() throws {
    let hidden = SampleShape(channels: 4, height: 7, width: 6)
    let pieces = [
      Piece(layer: Convolution(4, kernel: 3, padding: 1), input: Self.image, number: 1),
      Piece(
        layer: Sequential {
          BatchNorm(); ReLU()
        }, input: hidden, number: 2),
      Piece(
        layer: Sequential {
          Flatten(); Linear(5)
        }, input: hidden, number: 3),
    ]
    let x = LayerRun.random(samples * Self.image.count, number: 2)
    let network = Piece(
      layer: Sequential {
        pieces[0].layer; pieces[1].layer; pieces[2].layer
      }, input: Self.image, number: 0)
    var whole = try run(network, x: x, w: nil, .bfloat16)
    let prefixes = ["0.", "1.", "2."]
    for (piece, prefix) in zip(pieces, prefixes) {
      for (name, values) in try run(piece, x: [], w: nil, .bfloat16).values { whole.values[prefix + name] = values }
    }
    let found = try whole.outcome()

    var inputs = [rounded(x)]
    for piece in pieces { inputs.append(rounded(try run(piece, x: inputs.last!, w: nil, .float32).outcome().y)) }
    #expect(found.y == inputs.last!)
    var gradient = rounded(whole.w)
    for (number, piece) in pieces.enumerated().reversed() {
      let outcome = try run(piece, x: inputs[number], w: gradient, .float32).outcome()
      for (name, values) in outcome.gradients {
        #expect(found.gradients[prefixes[number] + name] == values, "\(prefixes[number])\(name)")
      }
      gradient = rounded(outcome.dx)
    }
    #expect(found.dx == gradient)
  }

  /// A gradient to which two operations add is summed in fp32 and rounded once.
  @Test func sumOfGradients() throws {
    let input = SampleShape(channels: 6, height: 1, width: 1)
    let (first, branch) = (
      Piece(layer: Linear(6), input: input, number: 1), Piece(layer: Linear(6), input: input, number: 2)
    )
    let x = LayerRun.random(samples * 6, number: 2)
    let network = Piece(
      layer: Sequential {
        first.layer
        Residual(rectifies: false) { branch.layer }
      }, input: input, number: 0)
    var whole = try run(network, x: x, w: nil, .bfloat16)
    for (piece, prefix) in [(first, "0."), (branch, "1.0.")] {
      for (name, values) in try run(piece, x: [], w: nil, .bfloat16).values { whole.values[prefix + name] = values }
    }
    let found = try whole.outcome()

    let dy = rounded(whole.w)
    let r = rounded(try run(first, x: rounded(x), w: nil, .float32).outcome().y)
    let inner = try run(branch, x: r, w: dy, .float32).outcome()
    #expect(found.y == rounded(zip(r, rounded(inner.y)).map { $0 + $1 }))
    let dr = rounded(zip(dy, inner.dx).map { $0 + $1 })
    let outer = try run(first, x: rounded(x), w: dr, .float32).outcome()
    #expect(found.dx == rounded(outer.dx))
    #expect(found.gradients["0.weight"] == outer.gradients["weight"])
    #expect(found.gradients["1.0.weight"] == inner.gradients["weight"])
  }

  /// As close to fp32 as bf16's 8 bits let a few steps be.
  @Test(arguments: ["mlp", "resnet20"]) func lossesFollowThoseOfFloat32(model: String) throws {
    let input = SampleShape(channels: 3, height: 12, width: 12)
    var run = TrainingRun(input: input, batchSize: 40) {
      try ModelZoo.model(model, ModelOptions(input: input, classCount: 10))
    }
    let exact = try run.outcome(ranks: 1, threads: 2).losses
    run.precision = .bfloat16
    let found = try run.outcome(ranks: 1, threads: 2).losses
    for (loss, expected) in zip(found, exact) {
      #expect(abs(loss - expected) <= 0.01 * expected, "\(found) for \(exact)")
    }
    #expect(found != exact)
  }
}
