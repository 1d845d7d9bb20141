import Tensors

/// Which sample is where in an epoch: a function of (seed, epoch) alone.
public struct SampleOrder: Hashable, Sendable {
  /// The number of samples, and of positions.
  public let count: Int
  private let seed: UInt64
  private let shuffle: Bool

  /// - Parameters:
  ///   - shuffle: a new permutation every epoch, or else the stored order.
  public init(count: Int, seed: UInt64, shuffle: Bool) {
    self.count = count
    self.seed = seed
    self.shuffle = shuffle
  }

  /// The sample at every position of the epoch, [count].
  public func indices(epoch: Int) -> [Int32] {
    guard shuffle else { return (0..<count).map(Int32.init) }
    var random = KeyedRandom(seed: seed, .order, epoch)
    return random.permutation(of: count)
  }
}
