import Tensors

extension Dataset {
  /// The same samples in black and white: pixels are 1 from half of the brightest value upwards, and 0 below.
  ///
  /// - Throws: `LockstepError` if the data set does not consist of bytes.
  public func binarized() throws -> Dataset {
    Dataset(
      name: "binarized \(name)", classCount: classCount, train: try binarized(train), test: try test.map(binarized),
      augmentation: augmentation)
  }

  private func binarized(_ samples: LabeledSamples) throws -> LabeledSamples {
    guard case .bytes(let bytes, _) = samples.pixels else {
      throw LockstepError("\(name) consists of floats; only images of bytes can be made black and white")
    }
    let asTheyAre = Normalization(
      mean: Array(repeating: 0, count: shape.channels), deviation: Array(repeating: 1, count: shape.channels))
    return LabeledSamples(
      bytes: bytes.map { $0 < 128 ? 0 : 255 }, labels: samples.labels, shape: shape, normalization: asTheyAre)
  }
}
