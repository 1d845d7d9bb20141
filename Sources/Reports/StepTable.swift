import Foundation
import Kernels
import Layers
import Tensors
import Training

/// A step's time by segment and operation: for people as a table, for programs as JSON.
public struct StepTable: Encodable, Sendable {
  struct Row: Encodable, Sendable {
    let segment: Int
    let name: String
    let kind: String
    let kernels: [String]
    let forward_ms: Double
    let backward_ms: Double
    /// The same work with every kernel by itself, on memory as the step has it.
    let isolated_ms: Double
    /// The same in a warm cache.
    let warm_ms: Double
    /// Of a direct computation, both ways.
    let gflop: Double
    /// Read and written, both ways.
    let megabytes: Double

    var milliseconds: Double { forward_ms + backward_ms }
    var gflops: Double { gflop / milliseconds * 1e3 }
    var gigabytesPerSecond: Double { megabytes / milliseconds }
  }

  let model: String
  let global_batch_size: Int
  let shards: Int
  let ranks: Int
  let threads: Int
  let processor: String
  let instruction_set: String
  let precision: String
  /// oneDNN's version.
  let library: String
  let images_per_second: Double
  /// (Largest - smallest) / mean of the middle half of the steps' seconds.
  let spread: Double
  let step_ms: Double
  let kernels_ms: Double
  /// Between bf16 in memory and the Floats that operations compute with.
  let conversions_ms: Double
  let meetings_ms: Double
  let additions_ms: Double
  let reading_ms: Double
  let preparation_ms: Double
  let update_ms: Double
  /// The sum of the kernels' own times, those of additions and of the update among them: what the step would take if
  /// nothing came on top of them.
  let bound_ms: Double
  let step_to_bound: Double
  /// The same in a warm cache, as if memory took no time: no step is faster with these kernels.
  let warm_bound_ms: Double
  let peak_gflops_per_core: Double
  /// Of this process: VmHWM.
  let peak_memory_bytes: Int
  let operations: [Row]

  public init(_ benchmark: StepBenchmark, _ trainer: Trainer, model: String) {
    let plan = benchmark.plan
    let (profile, isolated, warm) = (benchmark.profile, benchmark.isolated, benchmark.warm)
    let numbered = plan.segments.enumerated().flatMap { number, segment in segment.operations.map { (number, $0) } }
    let samples = benchmark.samplesPerWorker
    operations = numbered.enumerated().map { index, numbered in
      let (segment, operation) = numbered
      return Row(
        segment: segment, name: operation.name, kind: operation.kind,
        kernels: Formats.unique(operation.implementations),
        forward_ms: 1e3 * profile.forward[index], backward_ms: 1e3 * (profile.again[index] + profile.backward[index]),
        isolated_ms: 1e3 * isolated.kernels(of: index), warm_ms: 1e3 * warm.kernels(of: index),
        gflop: 1e-9 * Double(samples * operation.flopsBothWays),
        megabytes: 1e-6 * Double(samples * operation.bytesBothWays))
    }
    self.model = model
    global_batch_size = benchmark.globalBatchSize
    shards = trainer.engine.shards
    ranks = trainer.engine.grid.ranks
    threads = trainer.engine.grid.threads
    processor = InstructionSet.processor
    instruction_set = InstructionSet.name
    precision = trainer.engine.precision.rawValue
    library = InstructionSet.libraryVersion
    let seconds = benchmark.seconds
    images_per_second = Double(benchmark.globalBatchSize) / seconds
    spread = (benchmark.steps.max()! - benchmark.steps.min()!) / seconds
    step_ms = 1e3 * seconds
    kernels_ms = 1e3 * profile.kernels
    conversions_ms = 1e3 * profile.conversions
    meetings_ms = 1e3 * profile.meetings
    additions_ms = 1e3 * profile.additions
    reading_ms = 1e3 * profile.reading
    preparation_ms = 1e3 * profile.preparation
    update_ms = 1e3 * profile.update
    bound_ms = 1e3 * isolated.computation
    step_to_bound = seconds / isolated.computation
    warm_bound_ms = 1e3 * warm.computation
    peak_gflops_per_core = 1e-9 * benchmark.peak
    peak_memory_bytes = benchmark.peakMemory
  }

  public var json: String { get throws { try Formats.json(self) } }

  public var text: String {
    var table = Table(
      [
        "segment", "layer", "operation", "kernels", "forward ms", "backward ms", "alone ms", "warm ms", "GFLOP/s",
        "of peak", "GB/s",
      ], numbers: [0, 4, 5, 6, 7, 8, 9, 10])
    for row in operations {
      let computes = !row.kernels.isEmpty
      table.append([
        "\(row.segment)", row.name, row.kind, row.kernels.joined(separator: ", "), Formats.fixed(row.forward_ms, 2),
        Formats.fixed(row.backward_ms, 2), Formats.fixed(row.isolated_ms, 2), Formats.fixed(row.warm_ms, 2),
        computes ? Formats.fixed(row.gflops, 0) : "",
        computes ? Formats.fixed(100 * row.gflops / peak_gflops_per_core, 0) + "%" : "",
        Formats.fixed(row.gigabytesPerSecond, 1),
      ])
    }
    return table.text + "\n" + summary
  }

  private var summary: String {
    func line(_ name: String, _ milliseconds: Double) -> String {
      let share = Formats.fixed(100 * milliseconds / step_ms, 1)
      return "  " + name.padding(toLength: 38, withPad: " ", startingAt: 0)
        + String(format: "%9.3f ms  %5@%%", milliseconds, share as NSString) + "\n"
    }
    let slowest = operations.sorted { $0.milliseconds - $0.isolated_ms > $1.milliseconds - $1.isolated_ms }.prefix(3)
    return """
      \(model), batch \(global_batch_size) in \(Formats.count(shards, "shard")), \(Formats.count(ranks, "rank")) x \
      \(Formats.count(threads, "thread")), \(processor), \
      \(instruction_set) in \(precision), \(Formats.fixed(peak_gflops_per_core, 0)) GFLOP/s per core
      \(Formats.rate(images_per_second)) images/s: \(Formats.fixed(step_ms, 3)) ms per step, spread \(Formats.percent(spread)), \
      \(Formats.bytes(peak_memory_bytes)) of memory at most

      A worker's step (GFLOP/s are those of a direct computation: Winograd's may exceed the peak):

      """
        + line("kernels", kernels_ms)
        + (conversions_ms > 0 ? line("conversions between bf16 and Floats", conversions_ms) : "")
        + line("meetings: waiting, sums over workers", meetings_ms)
        + line("additions of gradients", additions_ms) + line("reading of samples", reading_ms)
        + line("preparation of weights", preparation_ms)
        + line("exchange and update", update_ms) + line("bound: every kernel by itself", bound_ms)
        + line("the same in a warm cache", warm_bound_ms) + """

          The step takes \(Formats.fixed(step_to_bound, 2)) times the bound. Furthest from their own time:\
          \(slowest.map { " \($0.name) (\($0.kind)) by \(Formats.fixed($0.milliseconds - $0.isolated_ms, 2)) ms" }.joined(separator: ",")).
          """
  }
}

extension Layers.Operation {
  private var hasWeights: Bool { parameters.contains { $0.role == .weight } }

  /// Of one sample: products with weights are done once forward, and once for each gradient.
  fileprivate var flopsBothWays: Int {
    hasWeights ? flopsPerSample * (wiring.needsInputGradient[0] ? 3 : 2) : 2 * flopsPerSample
  }

  /// Of one sample, activations and gradients.
  fileprivate var bytesBothWays: Int {
    /// An input is read forward, maybe backward, and its gradient may be written.
    let inputBytes = inputs.enumerated().reduce(0) { bytes, input in
      let times = 1 + (backwardReads(input: input.offset) ? 1 : 0) + (wiring.needsInputGradient[input.offset] ? 1 : 0)
      return bytes + times * 4 * input.element.layout.sampleStride
    }
    return inputBytes + (backwardReadsOutput ? 3 : 2) * 4 * output.layout.sampleStride
  }
}
