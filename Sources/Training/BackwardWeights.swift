import Layers
import Tensors

/// Memory for what backward passes derive from the parameters: of two segments, because one is prepared while workers may
/// still compute the one behind it. Workers with parameters of their own have their own, too.
struct BackwardWeights: Sendable {
  private let buffers: [AlignedBuffer<Float>]

  /// Tells every operation its place.
  init(_ plan: Plan, copies: Int) {
    let counts = plan.segments.map { $0.operations.reduce(0) { $0 + paddedCount($1.backwardWeightCount) } }
    func most(_ side: Int) -> Int { counts.enumerated().filter { $0.offset % 2 == side }.map(\.element).max() ?? 0 }
    buffers = (0..<copies).map { _ in AlignedBuffer(count: most(0) + most(1)) }
    for (number, segment) in plan.segments.enumerated() {
      var place = number % 2 == 0 ? 0 : most(0)
      for operation in segment.operations where operation.backwardWeightCount > 0 {
        operation.placeBackwardWeights(place)
        place += paddedCount(operation.backwardWeightCount)
      }
    }
  }

  func start(ofWorker index: Int) -> UnsafeMutablePointer<Float> { buffers[min(index, buffers.count - 1)].start }
}
