import Layers
import Tensors

/// A worker's memory: activations and the samples that they come from, and room for gradients of a slice.
struct WorkerMemory: Sendable {
  let arena: AlignedBuffer<Float>
  let labels: AlignedBuffer<Int32>
  private let gradients: AlignedBuffer<Float>

  /// - Parameter samples: the most that the worker has of a batch.
  init(_ plan: Plan, samples: Int) {
    arena = AlignedBuffer(count: plan.memory.count)
    labels = AlignedBuffer(count: samples)
    let slices = plan.segments.flatMap { segment in
      segment.operations.flatMap { $0.inputs.map { min(segment.sliceSize, samples) * $0.layout.sampleStride } }
    }
    gradients = AlignedBuffer(count: 2 * paddedCount(slices.max() ?? 0))
  }

  /// No operation has more than two inputs.
  var gradientScratch: [UnsafeMutablePointer<Float>] { [gradients.start, gradients.start + gradients.count / 2] }
}
