import Collectives
import Datasets
import Kernels
import Layers
import Tensors

extension Engine {
  /// The sums that batch norm's moments are made of, sample by sample, of what each batch norm sees.
  ///
  /// Nothing is learned. All ranks call it together, and get the sums of all samples.
  ///
  /// - Parameter mode: whether the batch norms before it take the batch's statistics or the running ones.
  func sampleSums(_ batch: Batch, _ mode: Mode) throws -> [SampleSums] {
    let norms = plan.network.normalizations
    let tables = norms.map { norm in
      AlignedBuffer<Double>(count: batch.globalCount * 2 * norm.inputs[0].layout.paddedChannels)
    }
    try run(batch, mode) { [self] worker in
      try forward(worker) { operation, slice in
        guard let number = norms.firstIndex(where: { $0 === operation }) else { return }
        let (x, layout) = (operation.inputs[0], operation.inputs[0].layout)
        for (offset, sample) in slice.samples.enumerated() {
          // Every sample is one worker's: no two write the same row.
          ChannelSums.addMoments(
            of: slice.stored(x, operation.forms.inputs[0]) + offset * layout.sampleStride, layout, samples: 1,
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
    func sums(_ mode: Mode, done: Int) throws -> [[SampleSums]] {
      try (0..<batches).map { step in
        defer { progress(Double(done + step + 1) / Double(2 * batches)) }
        return try engine.sampleSums(batch(ofStep: step), mode)
      }
    }
    let model = model
    fixStatistics(try sums(.trial, done: 0))
    let sums = try sums(.evaluation, done: batches)
    try initialize(from: model, source: "the model")
    let layers = norms.map { norm in
      let layout = norm.inputs[0].layout
      return (norm.name, layout.shape.channels, layout.positions)
    }
    return try StatisticsNoise(layers, sums, globalBatchSize: options.globalBatchSize)
  }

  /// Makes the moments of all these samples the running statistics.
  private func fixStatistics(_ sums: [[SampleSums]]) {
    for (index, norm) in engine.plan.network.normalizations.enumerated() {
      let layout = norm.inputs[0].layout
      let moments = (0..<layout.shape.channels).map { channel in
        SampleSums.moments(sums.map { $0[index] }, channel, positions: layout.positions)
      }
      for (parameter, values) in zip(norm.parameters, [moments.map(\.mean), moments.map(\.variance)]) {
        engine.set(parameter, values.map { Float($0) })
      }
    }
  }
}
