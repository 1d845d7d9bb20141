import Foundation

/// Lines over a common x, each with its name at its end.
///
///     var chart = LineChart("Test accuracy", x: Axis("samples per worker", .log2), y: Axis("accuracy (%)"))
///     chart.series.append(Series("sync", points, hue: .blue))
///     chart.series.append(Series("group norm of Wu and He", others, .reference))
public struct LineChart: Chart {
  public var title: String
  /// What was run, in a line.
  public var subtitle: String
  public var x: Axis
  public var y: Axis
  public var series: [Series]

  public init(_ title: String, subtitle: String = "", x: Axis, y: Axis, series: [Series] = []) {
    (self.title, self.subtitle, self.x, self.y, self.series) = (title, subtitle, x, y, series)
  }

  public var summary: String {
    let names = Formats.unique(series.filter { $0.style != .faint }.map(\.name)).joined(separator: ", ")
    return "\(y.title) by \(x.title): \(names). \(subtitle)"
  }

  public var drawing: ChartDrawing { LineChartLayout(self).drawing }
}

/// A line chart's places, in pixels.
private struct LineChartLayout {
  let chart: LineChart
  let x: AxisTicks
  let y: AxisTicks
  let header: ChartHeader
  let left: Double
  let right: Double
  let top: Double
  let bottom: Double
  /// The hue of each series.
  let hues: [Hue]

  private static let labelHeight = 19.0
  /// Markers of more points than these would hide the line.
  private static let mostMarkers = 24

  init(_ chart: LineChart) {
    self.chart = chart
    let points = chart.series.flatMap(\.points)
    x = AxisTicks(chart.x, points.map(\.x))
    y = AxisTicks(chart.y, points.flatMap { [$0.y] + ($0.spread.map { [$0.lowerBound, $0.upperBound] } ?? []) })
    header = ChartHeader(chart.title, chart.subtitle)
    let names = chart.series.filter { $0.style != .faint }.map(\.name)
    left = ChartDrawing.margin + 8 + (y.labels.map { ChartText.width($0) }.max() ?? 0)
    let lastTick = (x.labels.last.map { ChartText.width($0) } ?? 0) / 2
    right =
      ChartDrawing.width - ChartDrawing.margin - max(lastTick, 30 + (names.map { ChartText.width($0) }.max() ?? 0))
    top = header.height + 26
    bottom = top + max(290, Self.labelHeight * Double(names.count))
    var unused = Hue.allCases.filter { hue in !chart.series.contains { $0.hue == hue } }
    if unused.isEmpty { unused = Hue.allCases }
    var next = 0
    hues = chart.series.map { series in
      if let hue = series.hue { return hue }
      if series.style == .line { next += 1 }
      return unused[max(0, next - 1) % unused.count]
    }
  }

  var drawing: ChartDrawing {
    ChartDrawing(
      width: ChartDrawing.width, height: bottom + 54,
      content: header.content + grid + chart.series.indices.map(line).joined() + labels)
  }

  private func place(_ x: Double, _ y: Double) -> (x: Double, y: Double)? {
    guard let x = self.x.place(x), let y = self.y.place(y) else { return nil }
    return (left + x * (right - left), bottom - y * (bottom - top))
  }

  /// The axes, and lines across the chart at their ticks.
  private var grid: String {
    var content = SVG.text(chart.y.title, ChartDrawing.margin, top - 14, style: "soft")
    for (value, label) in zip(y.values, y.labels) {
      let height = bottom - y.place(value)! * (bottom - top)
      content += SVG.line(left, height, right, height, style: "grid")
      content += SVG.text(label, left - 8, height + 4.5, .end, style: "soft")
    }
    content += SVG.line(left, bottom, right, bottom, style: "axis")
    var free = -Double.infinity
    for (value, label) in zip(x.values, x.labels) {
      let place = left + x.place(value)! * (right - left)
      content += SVG.line(place, bottom, place, bottom + 5, style: "axis")
      let half = ChartText.width(label) / 2
      guard place - half > free else { continue }
      free = place + half + 8
      content += SVG.text(label, place, bottom + 20, .middle, style: "soft")
    }
    return content + SVG.text(chart.x.title, (left + right) / 2, bottom + 41, .middle, style: "soft")
  }

  private func line(_ index: Int) -> String {
    let series = chart.series[index]
    let hue = hues[index]
    let places = series.points.compactMap { point in place(point.x, point.y).map { (point: point, place: $0) } }
    var content = ""
    let spreads = places.filter { $0.point.spread != nil }
    if spreads.count > 1 {
      let upper = spreads.compactMap { place($0.point.x, $0.point.spread!.upperBound) }
      let lower = spreads.compactMap { place($0.point.x, $0.point.spread!.lowerBound) }
      content += SVG.path(upper + lower.reversed(), isClosed: true, style: "band \(hue.name)-fill")
    }
    if places.count > 1 {
      let style =
        switch series.style {
        case .line: "line \(hue.name)"
        case .faint: "faint \(hue.name)"
        case .reference: "reference"
        }
      content += SVG.path(places.map(\.place), style: style)
    }
    if series.style == .line, places.count <= Self.mostMarkers {
      for (point, place) in places {
        content += SVG.marker(hue, place.x, place.y, style: "marker \(hue.name)-fill", tip: tip(series, point))
      }
    }
    return SVG.group(style: "series", label: series.name, content)
  }

  private func tip(_ series: Series, _ point: Series.Point) -> String {
    let spread = point.spread.map { " (\(Self.plain($0.lowerBound)) to \(Self.plain($0.upperBound)))" } ?? ""
    return "\(series.name): \(Self.plain(point.y))\(spread) at \(Self.plain(point.x))"
  }

  private static func plain(_ value: Double) -> String { String(format: "%.4g", value) }

  /// The names, beside the ends of their lines.
  private var labels: String {
    let ends = chart.series.indices.compactMap { index -> (index: Int, place: (x: Double, y: Double))? in
      let series = chart.series[index]
      guard series.style != .faint, !series.name.isEmpty else { return nil }
      return series.points.compactMap { place($0.x, $0.y) }.last.map { (index, $0) }
    }
    let half = Self.labelHeight / 2
    let heights = ChartText.spread(
      ends.map(\.place.y), height: Self.labelHeight, in: min(top + half, bottom - half)...bottom - half)
    return zip(ends, heights).map { end, height in
      let isReference = chart.series[end.index].style == .reference
      let style = isReference ? "reference" : "leader \(hues[end.index].name)"
      return SVG.path(
        [end.place, (max(end.place.x, right) + 6, height), (right + 18, height)], style: style + " leader")
        + SVG.text(
          chart.series[end.index].name, right + 22, height + 4.5, style: isReference ? "soft" : "strong")
    }.joined()
  }
}
