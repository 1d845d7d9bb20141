/// Shows how far a run of several pieces of work is, and how long it will take: a bar on a terminal, and a line after
/// each piece. For rank 0.
public final class WorkProgress {
  /// The pieces' sizes, in any unit.
  private let work: [Double]
  private let bar = ProgressBar()
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  public init(_ work: [Double]) {
    self.work = work
    start = clock.now
  }

  /// - Parameter share: how much of a piece is done.
  public func show(_ piece: Int, _ share: Double, _ facts: String) {
    let done = done(piece, share)
    bar.show(done, "\(facts)  \(left(done))")
  }

  /// Says that a piece is done.
  public func finish(_ piece: Int, _ facts: String) {
    bar.clear()
    let done = done(piece, 1)
    Terminal.write("\(piece + 1)/\(work.count)  \(facts)\(piece + 1 < work.count ? "  \(left(done))" : "")\n")
  }

  private func done(_ piece: Int, _ share: Double) -> Double {
    (work[..<piece].reduce(0, +) + share * work[piece]) / work.reduce(0, +)
  }

  private func left(_ done: Double) -> String {
    let elapsed = (clock.now - start) / .seconds(1)
    return done > 0 ? "\(Formats.duration(elapsed * (1 - done) / done)) left" : ""
  }
}
