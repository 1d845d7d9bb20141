import Layers

/// A part of a step, as a worker comes to its end.
package enum StepPart {
  /// The worker's samples, from the data set.
  case reading
  /// Copies of the parameters that kernels want.
  case preparation
  case forward(any Operation)
  /// An operation done again on the way back.
  case again(any Operation)
  case backward(any Operation)
  /// Between bf16 in memory and the Floats that operations compute with.
  case conversion
  /// The end of a pass through a segment: waiting for the rank's other workers, sums over all, and what follows for batch
  /// norm.
  case meeting
  /// Gradients that several operations, shards or workers have added to.
  case addition
  /// Waiting for slices that the rank's other workers have taken over.
  case waiting
  /// The exchange of gradients, the update, and the exchange of parameters.
  case update
}

/// Follows the workers through a step.
package protocol StepObserver: AnyObject, Sendable {
  /// Called by the worker, when a part is done.
  func finished(_ part: StepPart, worker: Int)
}
