import Kernels
import Tensors

/// The loss of classification: the mean of the softmax cross-entropy over the global batch.
///
/// Each worker divides by the global count, so gradients are summed, never averaged.
package final class SoftmaxCrossEntropyLoss: Operation, MeetingParticipant, @unchecked Sendable {
  package let wiring: Wiring
  private let smoothing: Float
  private var sums: SumColumns!

  package init(_ name: String, _ x: Value, _ y: Value, smoothing: Float) {
    self.smoothing = smoothing
    wiring = Wiring(name, [x], y)
  }

  package var statistics: Statistics { .sync }
  package var meetsForward: Bool { true }
  package var sumCount: Int { 2 }
  package var kind: String { "SoftmaxCrossEntropy" }
  package func backwardReads(input: Int) -> Bool { true }
  package var flopsPerSample: Int { 5 * inputs[0].shape.count }

  package func join(_ sums: SumColumns, _ target: CompileTarget) { self.sums = sums }
  package func receive(_ worker: Worker) {}

  package func forward(_ slice: Slice) {
    for piece in slice.pieces {
      let (loss, correct) = apply(slice, piece, dx: nil)
      let row = sums.row(piece)
      row[0] += loss
      row[1] += Double(correct)
    }
  }

  package func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    for piece in slice.pieces { _ = apply(slice, piece, dx: dx + piece.start * inputs[0].layout.sampleStride) }
  }

  /// The sum of the losses and the number of correct answers, over the global batch.
  package func totals(_ worker: Worker) -> (loss: Double, correct: Int) {
    let total = sums.total(worker, group: 0)
    return (total[0], Int(total[1]))
  }

  private func apply(
    _ slice: Slice, _ piece: Piece, dx: UnsafeMutablePointer<Float>?
  ) -> (loss: Double, correct: Int) {
    let stride = inputs[0].layout.sampleStride
    return SoftmaxCrossEntropy.lossAndGradient(
      slice[inputs[0]] + piece.start * stride, labels: slice.labels + piece.start,
      rows: piece.count, classes: inputs[0].shape.channels, stride: stride,
      smoothing: slice.isTraining ? smoothing : 0, scale: slice.worker.lossScale, dx: dx)
  }
}
