/// A bar on the terminal's last line; nothing where nobody is looking.
public final class ProgressBar {
  private let isInteractive: Bool
  private let clock = ContinuousClock()
  private var lastShown: ContinuousClock.Instant?

  private static let interval = Duration.milliseconds(100)

  public init(isInteractive: Bool = Terminal.isInteractive) {
    self.isInteractive = isInteractive
  }

  /// Draws the bar, unless it was just drawn.
  public func show(_ share: Double, _ facts: @autoclosure () -> String) {
    guard isInteractive, lastShown.map({ clock.now - $0 > Self.interval }) ?? true else { return }
    lastShown = clock.now
    let facts = facts()
    let width = max(0, min(30, Terminal.width - facts.count - 10))
    let full = Int((share * Double(width)).rounded(.down))
    let blocks = String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    Terminal.write("\r\(blocks) \(Int(share * 100))%  \(facts)\u{1B}[K")
  }

  /// Makes room for a line.
  public func clear() {
    if isInteractive { Terminal.write("\r\u{1B}[K") }
  }
}
