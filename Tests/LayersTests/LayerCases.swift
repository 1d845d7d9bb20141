import Layers
import Support
import Tensors

/// Layers and compositions of layers for tests that hold for any layer, at awkward sizes.
enum LayerCases {
  static let image = SampleShape(channels: 3, height: 7, width: 5)

  /// By name, for a number of samples.
  static func run(_ name: String, samples: Int) throws -> LayerRun {
    guard let layer = layers[name] else { throw LockstepError("no case \(name)") }
    let vectors = name.hasPrefix("vectors")
    let input =
      vectors
      ? SampleShape.features(11) : name.contains("groups") ? SampleShape(channels: 6, height: 7, width: 5) : image
    let classes = 7
    let labels = name.contains("cross-entropy") ? (0..<samples).map { Int32($0 * 3 % classes) } : nil
    var run = try LayerRun(input, samples: samples, labels: labels, layer)
    if labels != nil { run.labelSmoothing = 0.1 }
    if name.contains("pooling") || name == "relu" { run.batches = [distinct(run.batches[0].count)] }
    if name.contains("momentum nil") { run.batches.append(LayerRun.random(run.batches[0].count, number: 9)) }
    run.values = values(run, avoidsKinks: name.hasPrefix("residual") || name.contains("ReLU"))
    return run
  }

  /// Numbers that differ by 0.03 from each other and by 0.015 from 0, so that small steps change no order and no sign.
  private static func distinct(_ count: Int) -> [Float] {
    var random = KeyedRandom(seed: 4, .data, 0)
    return random.permutation(of: count).map { (Float(Int($0) - count / 2) + 0.5) * 0.03 }
  }

  /// Parameters that hide no mistake, in place of zeros and ones.
  ///
  /// To avoid kinks, the biases of batch norms are so far from 0, by turns on either side, that no rectifier behind one
  /// changes its mind; in front of a tanh that would leave nothing to see.
  private static func values(_ run: LayerRun, avoidsKinks: Bool) -> [String: [Float]] {
    var values: [String: [Float]] = [:]
    for (number, parameter) in run.parameters.enumerated() {
      let noise = LayerRun.random(parameter.count, number: 100 + number).map { min(max($0, -2), 2) }
      if parameter.isNormalization {
        let isBias = parameter.name.hasSuffix("bias")
        values[parameter.name] = noise.enumerated().map { channel, noise in
          let center: Float = !isBias ? 1 : !avoidsKinks ? 0 : channel % 2 == 0 ? 6 : -6
          return center + 0.2 * noise
        }
      } else if parameter.name.hasSuffix("running_var") {
        values[parameter.name] = noise.map { 1 + 0.2 * $0 }
      } else if parameter.name.hasSuffix("running_mean") {
        values[parameter.name] = noise.map { 0.3 * $0 }
      }
    }
    return values
  }

  static let names = layers.keys.sorted()

  private static let layers: [String: any Layer] = [
    "vectors: linear": Linear(7),
    "vectors: linear without bias": Linear(17, bias: false),
    "vectors: two linear": Sequential {
      Linear(20)
      Tanh()
      Linear(3)
    },
    // Vectors that begin at distances of whole pages.
    "vectors: wide linear": Sequential {
      Linear(1024)
      Tanh()
      Linear(3)
    },
    // Weights' gradients block by block, normalization sample by sample, and neither in whole blocks.
    "vectors: wide linear, batch norm": Sequential {
      Linear(1109)
      BatchNorm()
      Tanh()
      Linear(3)
    },
    "vectors: linear without bias, batch norm": Sequential {
      Linear(5, bias: false)
      BatchNorm()
      Tanh()
      Linear(3, bias: false)
      BatchNorm()
    },
    "vectors: cross-entropy": Linear(7),
    "convolution": Convolution(5, kernel: 3, padding: 1),
    "convolution, stride": Convolution(5, kernel: 3, stride: 2, padding: 1, bias: false),
    "convolution, dilation": Convolution(5, kernel: 3, padding: 2, dilation: 2),
    "convolution, groups": Convolution(10, kernel: 3, stride: 2, padding: 1, groups: 2),
    "convolution, even kernel": Convolution(4, kernel: 2, stride: 2),
    "relu": ReLU(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "max pooling": MaxPooling(3, stride: 2, padding: 1),
    "batch norm, ReLU, max pooling": Sequential {
      BatchNorm()
      ReLU()
      MaxPooling(3, stride: 2, padding: 1)
    },
    "batch norm, max pooling, sigmoid": Sequential {
      BatchNorm()
      MaxPooling(3, stride: 2, padding: 1)
      Sigmoid()
    },
    "identity": Sequential {
      BatchNorm()
      Identity()
      Sigmoid()
    },
    "average pooling": AveragePooling(3, stride: 2, padding: 1),
    "average pooling without padding": AveragePooling(3, stride: 2, padding: 1, countsPadding: false),
    "global pooling": GlobalAveragePooling(),
    "dropout": Sequential {
      Dropout(0.3)
      Convolution(5, kernel: 3)
      Dropout(0.5)
    },
    "noise": Sequential {
      ActivationNoise()
      Convolution(5, kernel: 3)
      ActivationNoise()
    },
    "flatten": Sequential {
      Flatten()
      Linear(4)
    },
    // The sigmoid makes the padding of channels 0.5, which no convolution may see.
    "padding": Sequential {
      Convolution(5, kernel: 3)
      Sigmoid()
      Convolution(4, kernel: 1)
      Sigmoid()
      Convolution(3, kernel: 3, padding: 1)
      BatchNorm()
      Sigmoid()
      Convolution(3, kernel: 3)
    },
    // Two linear layers in one segment, and weights in another that lie where theirs do.
    "vectors: padding": Sequential {
      Linear(9)
      BatchNorm()
      Linear(13)
      Tanh()
      Linear(11)
      BatchNorm()
      Linear(16)
      BatchNorm()
      Linear(23)
      Tanh()
      Linear(5)
    },
    "smooth network": Sequential {
      Convolution(5, kernel: 3, padding: 1, bias: false)
      BatchNorm()
      Tanh()
      AveragePooling(2)
      Convolution(4, kernel: 3, padding: 1)
      Sigmoid()
      Flatten()
      Linear(3)
    },
    "cross-entropy": Sequential {
      Convolution(5, kernel: 3, padding: 1, bias: false)
      BatchNorm()
      Tanh()
      GlobalAveragePooling()
      Linear(7)
    },
    "batch norm": BatchNorm(),
    "batch norm, epsilon": BatchNorm(epsilon: 0.1),
    "batch norm, no affine": withNorms(BatchNorm(affine: false)),
    "batch norm, momentum nil": withNorms(BatchNorm(momentum: nil)),
    "batch norm, ghost:2": withNorms(BatchNorm(statistics: .ghost(2))),
    "batch norm, ghost:1": withNorms(BatchNorm(statistics: .ghost(1))),
    "batch norm, frozen": withNorms(BatchNorm(statistics: .frozen)),
    "batch norm, frozen, no affine": withNorms(BatchNorm(affine: false, statistics: .frozen)),
    "batch norm, mixed statistics": Sequential {
      withNorms(BatchNorm())
      BatchNorm(statistics: .ghost(3))
      Tanh()
      BatchNorm(statistics: .frozen)
    },
    "vectors: group norm": Sequential {
      Linear(12)
      GroupNorm(3)
      Tanh()
      Linear(7)
      LayerNorm()
    },
    "group norm": GroupNorm(3),
    "group norm, groups": Sequential {
      GroupNorm(2)
      Convolution(20, kernel: 3, padding: 1)
      GroupNorm(4)
      Tanh()
      Convolution(4, kernel: 3, stride: 2)
      GroupNorm(2, affine: false)
    },
    "layer norm": Sequential {
      LayerNorm()
      Convolution(5, kernel: 3, padding: 1)
      LayerNorm()
      Tanh()
      Convolution(4, kernel: 3, stride: 2)
      LayerNorm(affine: false)
    },
    // Group norms that rectify, and that add a shortcut, which another one normalizes.
    "residual of group norms": Sequential {
      Convolution(6, kernel: 3, padding: 1, bias: false)
      GroupNorm(3)
      ReLU()
      Residual(
        shortcut: Sequential {
          Convolution(4, kernel: 1, bias: false)
          GroupNorm(2)
        }
      ) {
        Convolution(4, kernel: 3, padding: 1, bias: false)
        GroupNorm(2)
      }
      Convolution(3, kernel: 3)
    },
    "residual": Sequential {
      Convolution(5, kernel: 3, padding: 1, bias: false)
      BatchNorm()
      ReLU()
      block(5, shortcut: nil, rectifies: true)
      block(5, shortcut: nil, rectifies: false)
      BatchNorm()
    },
    "residual with projection": Sequential {
      block(
        5,
        shortcut: Sequential {
          Convolution(5, kernel: 1, bias: false)
          BatchNorm()
        }, rectifies: true)
      Convolution(3, kernel: 3)
    },
    // No batch norm ends the main path, so that the sum is an operation of its own.
    "residual of convolutions": Residual(rectifies: false) {
      Convolution(4, kernel: 3, padding: 1)
      Tanh()
      Convolution(3, kernel: 3, padding: 1)
    },
    // The block's input is read by three.
    "nested residuals": Sequential {
      Convolution(4, kernel: 3, padding: 1)
      Residual(rectifies: false) {
        Residual(rectifies: false, shortcut: Sequential { Tanh() }) {
          Convolution(4, kernel: 3, padding: 1)
          BatchNorm()
        }
      }
      Sigmoid()
    },
  ]

  private static func withNorms(_ norm: BatchNorm) -> Sequential {
    Sequential {
      norm
      Convolution(5, kernel: 3, padding: 1)
      norm
      Tanh()
      Convolution(4, kernel: 3, stride: 2)
      norm
    }
  }

  private static func block(_ width: Int, shortcut: Sequential?, rectifies: Bool) -> Residual {
    Residual(rectifies: rectifies, shortcut: shortcut) {
      Convolution(width, kernel: 3, padding: 1, bias: false)
      BatchNorm()
      ReLU()
      Convolution(width, kernel: 3, padding: 1, bias: false)
      BatchNorm()
    }
  }
}
