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
  package var backwardReadsInputs: Bool { true }
  package var flopsPerSample: Int { 5 * inputs[0].shape.count }

  package func join(_ sums: SumColumns, _ target: CompileTarget) { self.sums = sums }
  package func receive(_ worker: Worker) {}

  package func forward(_ slice: Slice) {
    let (loss, correct) = apply(slice, dx: nil)
    let piece = sums.piece(slice, group: 0)
    piece[0] += loss
    piece[1] += Double(correct)
  }

  package func backward(_ slice: Slice) {
    if let dx = slice.inputGradient(self, 0) { _ = apply(slice, dx: dx) }
  }

  /// The sum of the losses and the number of correct answers, over the global batch.
  package func totals(_ worker: Worker) -> (loss: Double, correct: Int) {
    let total = sums.total(worker, group: 0)
    return (total[0], Int(total[1]))
  }

  private func apply(_ slice: Slice, dx: UnsafeMutablePointer<Float>?) -> (loss: Double, correct: Int) {
    SoftmaxCrossEntropy.lossAndGradient(
      slice[inputs[0]], labels: slice.worker.labels + slice.localStart, rows: slice.count,
      classes: inputs[0].shape.channels, stride: inputs[0].layout.sampleStride,
      smoothing: slice.isTraining ? smoothing : 0, scale: slice.worker.lossScale, dx: dx)
  }
}
