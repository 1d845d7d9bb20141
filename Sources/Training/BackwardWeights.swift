import Layers
import Tensors

/// Memory for what backward passes derive from the parameters: of two segments, because one is prepared while workers may
/// still compute the one behind it.
struct BackwardWeights: Sendable {
  private let buffers: [AlignedBuffer<Float>]

  /// Tells every operation its place.
  init(_ plan: Plan) {
    func count(_ segment: Plan.Segment) -> Int {
      segment.operations.reduce(0) { $0 + paddedCount($1.backwardWeightCount) }
    }
    buffers = (0..<2).map { side in
      AlignedBuffer(count: plan.segments.enumerated().filter { $0.offset % 2 == side }.map { count($1) }.max() ?? 0)
    }
    for (number, segment) in plan.segments.enumerated() {
      var place = buffers[number % 2].start
      for operation in segment.operations where operation.backwardWeightCount > 0 {
        operation.placeBackwardWeights(place)
        place += paddedCount(operation.backwardWeightCount)
      }
    }
  }
}
