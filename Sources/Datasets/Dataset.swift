import Tensors

/// A classification data set in memory.
public struct Dataset: Sendable {
  /// What it is called on the command line and in reports.
  public let name: String
  /// The shape of one sample.
  public let shape: SampleShape
  /// Labels are in 0 ..< classCount.
  public let classCount: Int
  /// What to train on.
  public let train: LabeledSamples
  /// What to evaluate on, if there is any.
  public let test: LabeledSamples?
  /// What is usual for this data set. Not applied unless asked for.
  public let augmentation: Augmentation

  /// A data set of samples in memory. All samples have one shape, and labels are in 0 ..< classCount.
  public init(
    name: String, classCount: Int, train: LabeledSamples, test: LabeledSamples?, augmentation: Augmentation
  ) {
    for split in [train, test].compactMap(\.self) {
      invariant(split.shape == train.shape, "\(name): samples \(split.shape) beside samples \(train.shape)")
      invariant(
        split.labels.allSatisfy { $0 >= 0 && $0 < classCount }, "\(name): a label is outside 0 ..< \(classCount)")
    }
    self.name = name
    self.shape = train.shape
    self.classCount = classCount
    self.train = train
    self.test = test
    self.augmentation = augmentation
  }
}
