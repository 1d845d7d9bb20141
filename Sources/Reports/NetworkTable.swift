import Foundation
import Kernels
import Layers
import Tensors
import Training

/// What a compiled network consists of: for people as a table, for programs as JSON.
public struct NetworkTable: Encodable, Sendable {
  struct Row: Encodable, Sendable {
    let segment: Int
    let name: String
    let kind: String
    let output: [Int]
    let parameters: Int
    let flops: Int
    let implementations: [String]
  }

  struct Segment: Encodable, Sendable {
    let number: Int
    let slice_size: Int
    let meetings_forward: Int
    let meetings_backward: Int
  }

  let model: String
  let input: [Int]
  let classes: Int
  let global_batch_size: Int
  let shards: Int
  let workers: Int
  let instruction_set: String
  let precision: String
  /// Learned elements.
  let parameters: Int
  /// Multiplications and additions of one sample's forward pass.
  let flops_per_sample: Int
  let activation_bytes_per_worker: Int
  let parameter_bytes_per_rank: Int
  let segments: [Segment]
  let operations: [Row]

  public init(_ trainer: Trainer, model: String) {
    self.init(trainer.engine, model, trainer.options.globalBatchSize)
  }

  private init(_ engine: Engine, _ model: String, _ batchSize: Int) {
    let plan = engine.plan
    self.model = model
    let shape = plan.network.input.shape
    input = [shape.channels, shape.height, shape.width]
    classes = plan.network.classCount
    global_batch_size = batchSize
    shards = engine.shards
    workers = engine.grid.workers
    instruction_set = InstructionSet.name
    precision = engine.precision.rawValue
    parameters = plan.network.parameters.filter(\.isLearned).reduce(0) { $0 + $1.count }
    flops_per_sample = plan.network.operations.reduce(0) { $0 + $1.flopsPerSample }
    activation_bytes_per_worker = plan.memory.count * MemoryLayout<Float>.size
    parameter_bytes_per_rank = plan.parameterCount * MemoryLayout<Float>.size
    segments = plan.segments.enumerated().map { number, segment in
      Segment(
        number: number, slice_size: segment.sliceSize, meetings_forward: segment.forwardMeetings.count,
        meetings_backward: segment.backwardMeetings.count)
    }
    operations = plan.segments.enumerated().flatMap { number, segment in
      segment.operations.map { operation in
        let shape = operation.output.shape
        return Row(
          segment: number, name: operation.name, kind: operation.kind,
          output: shape.positions == 1 ? [shape.channels] : [shape.channels, shape.height, shape.width],
          parameters: operation.parameters.filter(\.isLearned).reduce(0) { $0 + $1.count },
          flops: operation.flopsPerSample, implementations: operation.implementations)
      }
    }
  }

  /// The table as JSON.
  public var json: String { get throws { try Formats.json(self) } }

  /// The table as text.
  public var text: String {
    var table = Table(
      ["segment", "slice", "layer", "operation", "output", "parameters", "MFLOP", "kernels"], numbers: [0, 1, 5, 6])
    for row in operations {
      table.append([
        "\(row.segment)", "\(segments[row.segment].slice_size)", row.name, row.kind,
        row.output.map(String.init).joined(separator: "x"), row.parameters > 0 ? Formats.grouped(row.parameters) : "",
        row.flops >= 10_000 ? Formats.fixed(Double(row.flops) / 1e6, 2) : "",
        Formats.unique(row.implementations).joined(separator: ", "),
      ])
    }
    return table.text + "\n" + summary
  }

  private var summary: String {
    """
    \(model) on \(input.map(String.init).joined(separator: "x")), \(classes) classes: \
    \(Formats.grouped(parameters)) parameters, \(Formats.fixed(Double(flops_per_sample) / 1e6, 1)) MFLOP per sample \
    forward, \(segments.count) segments
    batch \(global_batch_size) in \(Formats.count(shards, "shard")) on \(Formats.count(workers, "worker")), \
    \(instruction_set) in \(precision): \
    \(Formats.bytes(activation_bytes_per_worker)) of activations per worker, \
    \(Formats.bytes(parameter_bytes_per_rank)) of parameters per rank
    """
  }
}
