import Collectives
import Datasets
import Kernels
import Layers
import Tensors

/// Measures which kernels and slices are fastest for a network on this machine.
///
/// Something other than the usual choice must be faster by a margin, because timings on a busy machine mislead.
public struct KernelTuner: Sendable {
  /// What was measured of one pass of one convolution.
  package struct Measurement: Sendable {
    package let layer: String
    package let pass: ConvolutionPassKind
    package let flopsPerSample: Int
    /// Median seconds per call.
    package let seconds: [(algorithm: ConvolutionAlgorithm, seconds: Double)]
    package let chosen: ConvolutionAlgorithm
  }

  /// Samples per call: a shard's.
  package let samples: Int
  package private(set) var measurements: [Measurement] = []
  public private(set) var plan: KernelPlan

  /// By how much another choice must be faster than the usual one.
  private static let margin = 0.95
  private static let rounds = 9

  /// - Parameters:
  ///   - model: makes the network's layers anew.
  ///   - progress: called with the share of the work done.
  public init(
    _ model: () throws -> any Layer, data: Dataset, options: TrainingOptions, progress: (Double) -> Void
  ) throws {
    let usual = try Trainer(model(), data: data, options: options)
    let convolutions = usual.engine.plan.network.operations.compactMap { $0 as? any TunableConvolution }
    samples = usual.engine.largestShard(globalCount: options.globalBatchSize)
    plan = KernelPlan(convolutions: [:], sliceSizes: usual.engine.plan.segments.map(\.sliceSize))
    let factors = [0.25, 0.5, 2, 4]
    let total = Double(convolutions.count + factors.count + 1)

    let inBFloat16 = options.precision == .bfloat16
    var known: [ConvolutionGeometry: [ConvolutionPassKind: [(ConvolutionAlgorithm, Double)]]] = [:]
    for (number, convolution) in convolutions.enumerated() {
      let geometry = convolution.geometry
      let timings = known[geometry] ?? Self.timings(geometry, inBFloat16: inBFloat16, samples: samples)
      known[geometry] = timings
      var algorithms = ConvolutionAlgorithms(for: geometry, inBFloat16: inBFloat16)
      for pass in ConvolutionPassKind.allCases
      where pass != .backwardData || convolution.wiring.needsInputGradient[0] {
        algorithms[pass] = Self.fastest(timings[pass]!, unless: algorithms[pass])
        measurements.append(
          Measurement(
            layer: convolution.name, pass: pass, flopsPerSample: convolution.flopsPerSample,
            seconds: timings[pass]!.map { (algorithm: $0, seconds: $1) }, chosen: algorithms[pass]))
      }
      plan.convolutions[convolution.name] = algorithms
      progress(Double(number + 1) / total)
    }

    let usualSizes = plan.sliceSizes
    var candidates: [(sizes: [Int], seconds: [Double])] = []
    for (number, factor) in ([1] + factors).enumerated() {
      let sizes = usualSizes.map { min(max(1, Int(Double($0) * factor)), options.globalBatchSize) }
      var tuned = options
      tuned.kernels = KernelPlan(convolutions: plan.convolutions, sliceSizes: sizes)
      candidates.append((sizes, try Self.segmentSeconds(Trainer(model(), data: data, options: tuned))))
      progress(Double(convolutions.count + number + 1) / total)
    }
    for segment in usualSizes.indices {
      plan.sliceSizes[segment] = Self.fastest(
        candidates.map { ($0.sizes[segment], $0.seconds[segment]) }, unless: candidates[0].sizes[segment])
    }
  }

  private static func fastest<Choice: Equatable>(_ timings: [(Choice, Double)], unless usual: Choice) -> Choice {
    let best = timings.min { $0.1 < $1.1 }!
    let limit = margin * (timings.first { $0.0 == usual }?.1 ?? .infinity)
    return best.1 < limit ? best.0 : usual
  }

  /// The median seconds of every algorithm, measured in turn.
  private static func timings(
    _ geometry: ConvolutionGeometry, inBFloat16: Bool, samples: Int
  ) -> [ConvolutionPassKind: [(ConvolutionAlgorithm, Double)]] {
    let algorithms = geometry.algorithms(inBFloat16: inBFloat16)
    let kernels = algorithms.map { ConvolutionTiming(geometry, $0, samples: samples) }
    var result: [ConvolutionPassKind: [(ConvolutionAlgorithm, Double)]] = [:]
    for pass in ConvolutionPassKind.allCases {
      for kernel in kernels { _ = kernel.seconds(pass) }
      let rounds = (0..<rounds).map { _ in kernels.map { $0.seconds(pass) } }
      result[pass] = algorithms.indices.map { index in
        (algorithms[index], rounds.map { $0[index] }.median!)
      }
    }
    return result
  }

  /// The seconds that each segment's operations take in a step.
  private static func segmentSeconds(_ trainer: Trainer) throws -> [Double] {
    let record = try StepBenchmark.profile(trainer, warmUp: 1, steps: 5)
    var first = 0
    return trainer.engine.plan.segments.map { segment in
      defer { first += segment.operations.count }
      return (first..<first + segment.operations.count).reduce(0) {
        $0 + record.forward[$1] + record.again[$1] + record.backward[$1]
      }
    }
  }
}
