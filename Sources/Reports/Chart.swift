/// A picture of numbers.
public protocol Chart: Sendable {
  var title: String { get }
  /// What is drawn, in words, for those who cannot see it.
  var summary: String { get }
  var drawing: ChartDrawing { get }
}

/// A chart's elements, and the size of the paper they are on.
public struct ChartDrawing: Sendable {
  let width: Double
  let height: Double
  let content: String

  /// The width of all charts, in pixels; readers may scale them.
  static let width = 760.0
  static let margin = 16.0
}

extension Chart {
  /// The chart as a part of a page that has `ChartStyle.css`.
  ///
  /// - Parameter id: tells it from the page's other charts.
  func svg(id: String) -> String {
    svg("class=\"chart\" role=\"img\" aria-labelledby=\"\(id)-title \(id)-summary\"", id: id, style: "")
  }

  /// The chart as a file of its own.
  func file(id: String) -> String {
    svg(
      "xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\""
        + " aria-labelledby=\"\(id)-title \(id)-summary\"", id: id, style: "<style>\(ChartStyle.css)</style>\n")
  }

  private func svg(_ attributes: String, id: String, style: String) -> String {
    let drawing = drawing
    let (width, height) = (SVG.number(drawing.width), SVG.number(drawing.height))
    return "<svg \(attributes) width=\"\(width)\" height=\"\(height)\" viewBox=\"0 0 \(width) \(height)\">\n\(style)"
      + "<title id=\"\(id)-title\">\(SVG.escaped(title))</title>\n"
      + "<desc id=\"\(id)-summary\">\(SVG.escaped(summary))</desc>\n"
      + SVG.rectangle(0, 0, drawing.width, drawing.height, style: "ground") + drawing.content + "</svg>\n"
  }
}

/// How charts look, in light and in dark.
package enum ChartStyle {
  static let fonts = "system-ui,\"Helvetica Neue\",Helvetica,Arial,\"Liberation Sans\",sans-serif"

  package static let css = """

    .chart{\(colours(\.light))
      font:\(SVG.number(ChartText.size))px \(fonts);max-width:100%;height:auto}
    @media (prefers-color-scheme:dark){
      .chart{\(colours(\.dark))}}
    .chart text{\(fill("ink"))} .chart .title{font-size:16px;font-weight:600} .chart .soft{\(fill("soft"))}
    .chart .strong{font-weight:600}
    .chart .ground{\(fill("ground"))} .chart .grid{\(stroke("grid"))} .chart .axis{\(stroke("soft"))}
    .chart .line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
    .chart .faint{fill:none;stroke-width:1;opacity:.5} .chart .leader{fill:none;stroke-width:1;opacity:.6}
    .chart .reference{fill:none;\(stroke("soft"));stroke-width:1.6;stroke-dasharray:6 4}
    .chart .marker{\(stroke("ground"));stroke-width:1.2} .chart .band{stroke:none;opacity:.18}
    .chart .bar{\(stroke("ground"));stroke-width:1} .chart .whisker{\(stroke("ink"));stroke-width:1.4}
    \(Hue.allCases.map { ".chart .\($0.name){\(stroke($0.name))} .chart .\($0.name)-fill{\(fill($0.name))}" }
      .joined(separator: "\n"))

    """

  /// By name, in light and in dark.
  private static let palette: [(name: String, colours: (light: String, dark: String))] =
    [
      ("ground", ("#ffffff", "#14181d")), ("ink", ("#1c2127", "#e8ebef")), ("soft", ("#5b6570", "#9aa5b1")),
      ("grid", ("#e4e7eb", "#2b323a")),
    ] + Hue.allCases.map { ($0.name, $0.colours) }

  private static func colours(_ ground: KeyPath<(light: String, dark: String), String>) -> String {
    palette.map { "--\($0.name):\($0.colours[keyPath: ground]);" }.joined()
  }

  private static func fill(_ name: String) -> String { paint("fill", name) }
  private static func stroke(_ name: String) -> String { paint("stroke", name) }

  /// The light colour first, for programs that know no variables.
  private static func paint(_ property: String, _ name: String) -> String {
    "\(property):\(palette.first { $0.name == name }!.colours.light);\(property):var(--\(name))"
  }
}
