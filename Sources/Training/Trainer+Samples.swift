import Datasets

extension Trainer {
  /// Chosen samples of a split as one batch, without augmentation: this rank's share of them.
  package func batch(of indices: [Int], in split: LabeledSamples) -> Batch {
    let mine = indices[engine.samples(globalCount: indices.count)].map(Int32.init)
    return Batch(BatchSamples(split, mine[...]), globalCount: indices.count)
  }
}
