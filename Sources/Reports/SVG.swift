/// Elements of a drawing, as text.
enum SVG {
  /// Where a text begins.
  enum Anchor: String {
    case start, middle, end
  }

  static func text(
    _ text: String, _ x: Double, _ y: Double, _ anchor: Anchor = .start, style: String = ""
  ) -> String {
    element(
      "text", "x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor.rawValue)\"" + styled(style), escaped(text))
  }

  static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, style: String) -> String {
    "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\"\(styled(style))/>\n"
  }

  static func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, style: String, tip: String = ""
  ) -> String {
    element(
      "rect",
      "x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" height=\"\(number(height))\"" + styled(style),
      tip.isEmpty ? "" : "<title>\(escaped(tip))</title>")
  }

  /// - Parameter isClosed: an area rather than a line.
  static func path(_ points: [(x: Double, y: Double)], isClosed: Bool = false, style: String) -> String {
    let steps = points.map { "\(number($0.x)) \(number($0.y))" }.joined(separator: "L")
    return "<path d=\"M\(steps)\(isClosed ? "Z" : "")\"\(styled(style))/>\n"
  }

  /// A shape for every hue, so that lines differ in print too.
  static func marker(_ hue: Hue, _ x: Double, _ y: Double, style: String, tip: String = "") -> String {
    let shape =
      switch hue {
      case .blue, .sky: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z"
      case .vermillion: "M-3.6 -3.6H3.6V3.6H-3.6Z"
      case .green: "M0 -4.6L4.5 3.4H-4.5Z"
      case .purple: "M0 -5L4.6 0L0 5L-4.6 0Z"
      case .orange: "M0 4.6L4.5 -3.4H-4.5Z"
      }
    return element(
      "path", "d=\"\(shape)\" transform=\"translate(\(number(x)) \(number(y)))\"" + styled(style),
      tip.isEmpty ? "" : "<title>\(escaped(tip))</title>")
  }

  static func group(style: String, label: String = "", _ content: String) -> String {
    "<g\(styled(style))\(label.isEmpty ? "" : " aria-label=\"\(escaped(label))\"")>\n\(content)</g>\n"
  }

  static func element(_ name: String, _ attributes: String, _ content: String) -> String {
    content.isEmpty ? "<\(name) \(attributes)/>\n" : "<\(name) \(attributes)>\(content)</\(name)>\n"
  }

  /// A tenth of a pixel is fine enough.
  static func number(_ value: Double) -> String {
    let text = Formats.fixed(value, 1)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// Text as markup shows it.
  static func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, letter in
      switch letter {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(letter)
      }
    }
  }

  private static func styled(_ style: String) -> String { style.isEmpty ? "" : " class=\"\(style)\"" }
}
