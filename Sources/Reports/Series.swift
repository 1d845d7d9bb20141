/// What one line of a chart shows.
public struct Series: Sendable {
  /// A point, and the spread around it if there is one.
  public struct Point: Sendable {
    public var x: Double
    public var y: Double
    /// The spread's ends.
    public var spread: ClosedRange<Double>?

    public init(_ x: Double, _ y: Double, spread: ClosedRange<Double>? = nil) {
      (self.x, self.y, self.spread) = (x, y, spread)
    }
  }

  /// How it is drawn.
  public enum Style: Sendable {
    /// A line with its name at the end; with markers if its points are few.
    case line
    /// One of many: thin, without a name.
    case faint
    /// What the others are compared with: dashed and grey, with its name.
    case reference
  }

  public var name: String
  public var points: [Point]
  public var style: Style
  /// nil: the next one that no other series has.
  public var hue: Hue?

  public init(_ name: String, _ points: [Point], _ style: Style = .line, hue: Hue? = nil) {
    (self.name, self.points, self.style, self.hue) = (name, points, style, hue)
  }
}

/// Colours that the colour-blind tell apart, in the order in which they are taken; lighter ones on a dark ground.
///
/// Source: Okabe, Ito, Color universal design, 2008, https://jfly.uni-koeln.de/color.
public enum Hue: Int, CaseIterable, Sendable {
  case blue = 1
  case vermillion, green, purple, orange, sky

  /// As style sheets name it.
  var name: String { "hue\(rawValue)" }

  /// On white, and on black.
  var colours: (light: String, dark: String) {
    switch self {
    case .blue: ("#0072b2", "#4ba6e8")
    case .vermillion: ("#d55e00", "#ff8947")
    case .green: ("#009e73", "#1cc79a")
    case .purple: ("#cc79a7", "#e79fc8")
    case .orange: ("#e69f00", "#f2bb3f")
    case .sky: ("#56b4e9", "#a9dcff")
    }
  }
}
