import Kernels
import Layers
import Training

/// What tuning measured, for people.
public struct TuningTable {
  private let tuner: KernelTuner

  public init(_ tuner: KernelTuner) {
    self.tuner = tuner
  }

  /// A line per convolution and pass, in GFLOP/s of a direct computation, and the slices.
  public var text: String {
    let algorithms = ConvolutionAlgorithm.all.filter { algorithm in
      tuner.measurements.contains { $0.seconds.contains { $0.algorithm == algorithm } }
    }
    var table = Table(
      ["layer", "pass"] + algorithms.map(\.description) + ["chosen"], numbers: Set(2..<2 + algorithms.count))
    for row in tuner.measurements {
      let rates = algorithms.map { algorithm in
        row.seconds.first { $0.algorithm == algorithm }.map {
          Formats.fixed(1e-9 * Double(tuner.samples * row.flopsPerSample) / $0.seconds, 0)
        } ?? ""
      }
      table.append([row.layer, Self.name(row.pass)] + rates + [row.chosen.description])
    }
    let sizes = tuner.plan.sliceSizes.map(String.init).joined(separator: " ")
    return table.text
      + "\nGFLOP/s of a direct computation, \(tuner.samples) samples per call. Samples per slice, by segment: \(sizes)"
  }

  private static func name(_ pass: ConvolutionPassKind) -> String {
    switch pass {
    case .forward: "forward"
    case .backwardData: "backward data"
    case .backwardWeights: "backward weights"
    }
  }
}
