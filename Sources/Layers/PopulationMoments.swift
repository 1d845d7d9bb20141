import Tensors

/// The moments of the inputs of a network's batch norms, summed over many batches.
///
///     mean = sum(x) / n,   variance = (sum(x^2) / n - mean^2) * n / (n - 1)
///
/// Sums and n are over all elements of a channel in all batches. A batch's own sums come from the shard tree, and batches
/// are added in turn, so that the result does not depend on who computes what.
package struct PopulationMoments {
  private let norms: [BatchNormMoments]
  /// By batch norm: the sums of x, then those of x^2, per padded channel.
  private var sums: [[Double]]
  private var samples = 0

  /// - Throws: `LockstepError` if a batch norm does not look at the global batch.
  package init(_ network: Network) throws {
    norms = network.operations.compactMap { $0 as? BatchNormMoments }
    sums = norms.map { [Double](repeating: 0, count: 2 * $0.norm.channels) }
    for norm in norms where norm.statistics != .sync {
      throw LockstepError("batch norm \(norm.name) takes \(norm.statistics) statistics; those of all samples need sync")
    }
  }

  /// Whether there is anything to take moments of.
  package var isEmpty: Bool { norms.isEmpty }

  /// Adds the batch that has just been computed.
  package mutating func add(_ worker: Worker) {
    samples += worker.route.partition.globalCount
    for (index, norm) in norms.enumerated() {
      let total = norm.total(worker, group: 0)
      for i in sums[index].indices { sums[index][i] += total[i] }
    }
  }

  /// What the running statistics become.
  package var statistics: [(parameter: Parameter, values: [Float])] {
    zip(norms, sums).flatMap { moments, sums in
      let norm = moments.norm
      let n = Double(samples * norm.layout.positions)
      let channels = (0..<norm.layout.shape.channels).map { c in
        meanAndVariance(sum: sums[c], squaredSum: sums[norm.channels + c], count: n)
      }
      return [
        (norm.runningMean, channels.map { Float($0.mean) }),
        (norm.runningVariance, channels.map { Float($0.variance * n / (n - 1)) }),
      ]
    }
  }
}
