import Layers
import Tensors

extension Trainer {
  /// Replaces batch norm's running statistics by exact ones: those of all elements of the first `batches` batches of
  /// training, each batch normalized by its own statistics, as in training. Nothing else changes.
  ///
  /// Running averages lag behind the parameters and weigh the last batches most. The result is the same, bit for bit, on
  /// any ranks x threads.
  /// Source: Wu, Johnson 2021, arXiv:2105.07576, section 3 (precise statistics).
  ///
  /// - Parameter progress: called after each batch with the batches done so far.
  /// - Throws: `LockstepError` if there are no such statistics or not so many batches.
  public func recomputeStatistics(batches: Int, progress: (Int) -> Void = { _ in }) throws {
    var moments = try PopulationMoments(engine.plan.network)
    if moments.isEmpty { throw LockstepError("the network has no batch norm whose statistics could be recomputed") }
    guard (1...stepsPerEpoch).contains(batches) else {
      throw LockstepError(
        "statistics can be recomputed over 1 to \(stepsPerEpoch) batches of \(options.globalBatchSize) samples, not"
          + " \(batches)")
    }
    for step in 0..<batches {
      _ = try engine.evaluate(batch(ofStep: step), .trial)
      moments.add(engine.workers[0])
      progress(step + 1)
    }
    for (parameter, values) in moments.statistics { engine.set(parameter, values) }
  }
}
