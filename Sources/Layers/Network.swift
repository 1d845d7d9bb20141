import Tensors

/// A model built for one shape of input: operations in the order of computation, parameters, the loss.
package struct Network: Sendable {
  package private(set) var operations: [any Operation]
  package let parameters: [Parameter]
  /// Values that live in another value's memory.
  package let aliases: [Int: Int]
  package let input: Value
  package let loss: SoftmaxCrossEntropyLoss
  package let classCount: Int

  /// - Throws: `LockstepError` if the model does not fit the input, or does not end in one logit per class.
  package init(_ model: any Layer, input shape: SampleShape, classCount: Int, labelSmoothing: Float = 0) throws {
    let builder = NetworkBuilder()
    input = builder.value(shape, block: 1)
    let logits = try model.build(input, in: builder)
    guard logits.shape == .features(classCount) else {
      throw LockstepError("the model gives \(logits.shape) per sample, but the data has \(classCount) classes")
    }
    let loss = SoftmaxCrossEntropyLoss("loss", logits, builder.value(.features(1)), smoothing: labelSmoothing)
    builder.append(loss)
    self.loss = loss
    self.classCount = classCount
    operations = Fusion.fused(builder.operations)
    parameters = builder.parameters
    aliases = builder.aliases
  }

  /// The statistics that its batch norms take.
  package var statistics: Set<Statistics> {
    Set(operations.compactMap { ($0 as? any MeetingParticipant)?.statistics })
  }

  /// The halves of its batch norms that look at the batch: each takes the moments of its input.
  package var normalizations: [any MeetingParticipant] { operations.compactMap { $0 as? BatchNormMoments } }
}
