import Collectives
import Datasets
import Kernels
import Layers
import Tensors

extension Engine {
  /// The sums that batch norm's moments are made of, sample by sample, as each batch norm sees a batch in training.
  ///
  /// Nothing is learned. All ranks call it together, and get the sums of all samples.
  package func sampleSums(_ batch: Batch) throws -> [SampleSums] {
    let norms = plan.network.normalizations
    let tables = norms.map { norm in
      AlignedBuffer<Double>(count: batch.globalCount * 2 * norm.inputs[0].layout.paddedChannels)
    }
    load(batch, .training)
    try team.run { [self] index in
      try prepare(workers[index])
      try forward(workers[index]) { operation, slice in
        guard let number = norms.firstIndex(where: { $0 === operation }) else { return }
        let (x, layout) = (operation.inputs[0], operation.inputs[0].layout)
        for (offset, sample) in slice.samples.enumerated() {
          // Every sample is one worker's: no two write the same row.
          ChannelSums.addMoments(
            of: slice[x] + offset * layout.sampleStride, layout, samples: 1,
            to: tables[number].start + sample * 2 * layout.paddedChannels)
        }
      }
    }
    let partition = partition(globalCount: batch.globalCount)
    return try zip(norms, tables).map { norm, table in
      let width = norm.inputs[0].layout.paddedChannels
      try communicator.allGather(
        UnsafeMutableRawBufferPointer(start: table.start, count: table.count * MemoryLayout<Double>.size),
        counts: (0..<grid.ranks).map {
          partition.samples(ofRank: $0).count * 2 * width * MemoryLayout<Double>.size
        })
      return SampleSums(Array(table.elements), width: width)
    }
  }
}

extension Trainer {
  /// Measures how noisy the statistics of a few samples are, for each batch norm of the network as it stands.
  ///
  /// - Parameters:
  ///   - batches: how many batches of training samples to look at.
  ///   - progress: called after each batch with the share of them done.
  /// - Throws: `LockstepError` if the network has no batch norm over the batch, or there are not that many full batches.
  public func statisticsNoise(batches: Int, progress: (Double) -> Void = { _ in }) throws -> StatisticsNoise {
    let norms = engine.plan.network.normalizations
    let most = data.train.count / options.globalBatchSize
    guard !norms.isEmpty else { throw LockstepError("this model has no batch norm whose statistics could be noisy") }
    guard batches <= most else {
      throw LockstepError(
        "\(data.name) has \(most) full batches of \(options.globalBatchSize) samples, not \(batches); lower --batches")
    }
    let sums = try (0..<batches).map { step in
      defer { progress(Double(step + 1) / Double(batches)) }
      return try withBatch(ofStep: step) { try engine.sampleSums($0) }
    }
    let layers = norms.map { norm in
      let layout = norm.inputs[0].layout
      return (norm.name, layout.shape.channels, layout.positions)
    }
    return StatisticsNoise(layers, sums, globalBatchSize: options.globalBatchSize)
  }
}
