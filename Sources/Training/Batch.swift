import Datasets

/// This rank's samples of a global batch.
package struct Batch: Sendable {
  /// Those that its workers compute, in order.
  package let samples: BatchSamples
  /// Samples of the batch over all ranks.
  package let globalCount: Int

  package init(_ samples: BatchSamples, globalCount: Int) {
    self.samples = samples
    self.globalCount = globalCount
  }
}

/// What a step or an evaluation found over the global batch.
public struct BatchResult: Sendable, Equatable {
  /// The sum of the samples' losses.
  public let lossSum: Double
  /// Samples whose largest logit is at the label.
  public let correct: Int
  public let count: Int

  /// The mean loss.
  public var loss: Double { lossSum / Double(count) }
}
