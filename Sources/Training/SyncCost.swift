import Tensors

/// What sync batch norm costs on one layout: the same batch trained with `sync` and with `local` statistics, in turn.
public struct SyncCost: Codable, Sendable {
  /// One kind of statistics.
  public struct Side: Codable, Sendable {
    /// A step's seconds: each round's median.
    public var rounds: [Double] = []
    public var breakdown = StepBreakdown()
    /// The model after the warm-up.
    public var fingerprint = ""

    public var seconds: Double { rounds.median! }
  }

  /// What grows with the number of workers.
  public enum Scaling: String, Codable, Sendable {
    /// Nothing: they share one batch.
    case strong
    /// The batch: each has as many samples as one alone.
    case weak
  }

  public let layout: JobLayout
  public let scaling: Scaling
  public let globalBatchSize: Int
  public let shards: Int
  /// CPUs that the layout's workers can use.
  public let processors: Int
  public var sync = Side()
  public var local = Side()

  /// A measurement to be made.
  public init(_ layout: JobLayout, _ scaling: Scaling, globalBatchSize: Int, shards: Int, processors: Int) {
    (self.layout, self.scaling, self.globalBatchSize) = (layout, scaling, globalBatchSize)
    (self.shards, self.processors) = (shards, processors)
  }

  /// By how much sync is slower, of 1: each round's ratio.
  public var costs: [Double] { zip(sync.rounds, local.rounds).map { $0 / $1 - 1 } }

  /// By how much sync is slower, of 1: the median of the rounds.
  public var cost: Double { costs.median! }
}
