/// Ranks x threads.
public struct JobLayout: Codable, Hashable, Sendable, CustomStringConvertible {
  public let ranks: Int
  public let threads: Int

  public init(ranks: Int, threads: Int) {
    (self.ranks, self.threads) = (ranks, threads)
  }

  /// As it is written: "2x1".
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard parts.count == 2, parts.allSatisfy({ (1...65_536).contains($0) }) else { return nil }
    self.init(ranks: parts[0], threads: parts[1])
  }

  public var workers: Int { ranks * threads }
  public var description: String { "\(ranks)x\(threads)" }
}
