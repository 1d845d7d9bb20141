import Layers
import Tensors

/// How a model is trained. Everything here decides the resulting bits but `threads`, as long as no batch norm takes `local`
/// statistics, and `length`, which decides those of a cosine schedule.
public struct TrainingOptions: Sendable {
  /// When training ends.
  public enum Length: Sendable, Equatable {
    case epochs(Int)
    case steps(Int)
  }

  /// Samples of one optimizer step, over all workers.
  public var globalBatchSize = 128
  /// Shards of a batch; nil for `defaultShards`.
  public var shards: Int?
  /// Computing threads of this rank.
  public var threads = 1
  public var length = Length.epochs(1)
  public var learningRate: Float = 0.1
  /// The batch size that `learningRate` is meant for; other batch sizes scale it in proportion. nil: no scaling.
  /// Goyal et al. 2017, arXiv:1706.02677, section 2.1.
  public var linearScalingBase: Int?
  public var optimizer = SGD()
  public var precision = Precision.float32
  public var schedule = Schedule()
  public var labelSmoothing: Float = 0
  public var seed: UInt64 = 0
  public var shuffles = true
  /// Kernels and slices measured by `lockstep tune`, instead of the usual ones.
  public var kernels: KernelPlan?
  /// Whether training samples undergo the data set's usual augmentation.
  public var augments = false

  public init() {}

  /// The number of shards if none is asked for: a function of the batch size alone.
  ///
  /// One for every 16 samples, but at least 4, for as many workers, and at most 8: kernels want large shards.
  public static func defaultShards(globalBatchSize: Int) -> Int {
    min(globalBatchSize, max(4, min(8, globalBatchSize / 16)))
  }

  /// The shards of a batch.
  public var effectiveShards: Int { shards ?? Self.defaultShards(globalBatchSize: globalBatchSize) }

  var effectiveLearningRate: Float {
    learningRate * (linearScalingBase.map { Float(globalBatchSize) / Float($0) } ?? 1)
  }

  /// - Throws: `LockstepError` naming the first option that makes no sense.
  func check(samples: Int, ranks: Int, onlyEvaluates: Bool) throws {
    func require(_ holds: Bool, _ text: @autoclosure () -> String) throws {
      if !holds { throw LockstepError(text()) }
    }
    try require(globalBatchSize > 0, "the batch size must be positive, not \(globalBatchSize)")
    try require(
      onlyEvaluates || globalBatchSize <= samples,
      "a batch of \(globalBatchSize) samples is larger than the data set, which has \(samples); lower --batch-size")
    try require(effectiveShards > 0, "the number of shards must be positive, not \(effectiveShards)")
    try require(
      effectiveShards <= globalBatchSize,
      "\(effectiveShards) shards are more than the \(globalBatchSize) samples of a batch; lower --shards")
    try require(threads > 0, "the number of threads must be positive, not \(threads)")
    try require(
      threads <= effectiveShards / ranks,
      "\(ranks) x \(threads) workers (ranks x threads) are more than the \(effectiveShards)"
        + " shard\(effectiveShards == 1 ? "" : "s") of a batch, so that some would never have work; raise"
        + " \(effectiveShards < globalBatchSize ? "--shards" : "--batch-size") or use fewer workers")
    switch length {
    case .epochs(let count):
      try require(count > 0, "the number of epochs must be positive, not \(count)")
      try require(count <= Int.max / max(1, samples), "\(count) epochs are more than can be counted")
    case .steps(let count): try require(count > 0, "the number of steps must be positive, not \(count)")
    }
    try require(
      learningRate.isFinite && learningRate >= 0, "the learning rate must be finite and not negative: \(learningRate)")
    try require(
      linearScalingBase.map { $0 > 0 } ?? true, "the linear scaling rule needs the positive batch size it starts from")
    try require((0..<1).contains(optimizer.momentum), "the momentum must be in [0, 1), not \(optimizer.momentum)")
    try require(
      optimizer.weightDecay.isFinite && optimizer.weightDecay >= 0,
      "the weight decay must be finite and not negative: \(optimizer.weightDecay)")
    try require((0..<1).contains(labelSmoothing), "the label smoothing must be in [0, 1), not \(labelSmoothing)")
    try require(
      schedule.warmupEpochs.isFinite && schedule.warmupEpochs >= 0,
      "the warm-up must be finite and not negative: \(schedule.warmupEpochs)")
  }
}
