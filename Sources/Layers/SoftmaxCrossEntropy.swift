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
  package var meetsForward: Bool { false }
  package var sumCount: Int { 2 }
  package var kind: String { "SoftmaxCrossEntropy" }
  package func backwardReads(input: Int) -> Bool { true }
  package var flopsPerSample: Int { 5 * inputs[0].shape.count }

  package func join(_ sums: SumColumns, _ target: CompileTarget) { self.sums = sums }
  package func receive(_ worker: Worker) {}

  /// In training the loss comes with its gradient.
  package func forward(_ slice: Slice) {
    if slice.mode != .training { addUp(slice, dx: nil) }
  }

  package func backward(_ slice: Slice) { addUp(slice, dx: slice.inputGradient(self, 0)) }

  /// The sum of the losses and the number of correct answers, over the global batch.
  package func totals(_ worker: Worker) -> (loss: Double, correct: Int) {
    let total = sums.total(worker, group: 0)
    return (total[0], Int(total[1]))
  }

  private func addUp(_ slice: Slice, dx: UnsafeMutablePointer<Float>?) {
    let stride = inputs[0].layout.sampleStride
    for piece in slice.pieces {
      let start = piece.start * stride
      let (loss, correct) = SoftmaxCrossEntropy.lossAndGradient(
        slice[inputs[0]] + start, labels: slice.labels + piece.start, rows: piece.count,
        classes: inputs[0].shape.channels, stride: stride, smoothing: slice.isTraining ? smoothing : 0,
        scale: slice.withWorker { $0.lossScale }, dx: dx.map { $0 + start })
      let row = sums.row(piece)
      row[0] += loss
      row[1] += Double(correct)
    }
  }
}
