import Foundation

/// Horizontal bars in groups, each of one part or of several, with the spread of its end and a note beside it.
///
///     var chart = BarChart("A step's time", value: Axis("ms"), parts: ["compute", "waiting"])
///     chart.bars.append(BarChart.Bar("sync", group: "2x1", [81, 12], spread: 90...97, note: "1,100 images/s"))
public struct BarChart: Chart {
  public struct Bar: Sendable {
    public var name: String
    /// Bars of a group follow one upon the other; its name stands beside the first.
    public var group: String
    /// By part. They are stacked.
    public var values: [Double]
    /// The spread of the bar's end.
    public var spread: ClosedRange<Double>?
    public var note: String

    public init(
      _ name: String, group: String = "", _ values: [Double], spread: ClosedRange<Double>? = nil, note: String = ""
    ) {
      (self.name, self.group, self.values, self.spread, self.note) = (name, group, values, spread, note)
    }

    var end: Double { values.reduce(0, +) }
  }

  public var title: String
  /// What was run, in a line.
  public var subtitle: String
  public var value: Axis
  public var parts: [String]
  public var bars: [Bar]

  public init(_ title: String, subtitle: String = "", value: Axis, parts: [String], bars: [Bar] = []) {
    (self.title, self.subtitle, self.value, self.parts, self.bars) = (title, subtitle, value, parts, bars)
    self.value.includesZero = true
  }

  public var summary: String {
    "\(value.title) of "
      + bars.map { "\($0.group) \($0.name): \($0.note.isEmpty ? Formats.rate($0.end) : $0.note)" }
      .joined(separator: "; ") + ". \(subtitle)"
  }

  public var drawing: ChartDrawing { BarChartLayout(self).drawing }
}

/// A bar chart's places, in pixels.
private struct BarChartLayout {
  let chart: BarChart
  let ticks: AxisTicks
  let header: ChartHeader
  let names: Double
  let left: Double
  let right: Double
  let top: Double
  let bottom: Double
  /// The upper edge of each bar.
  let tops: [Double]

  private static let barHeight = 18.0
  private static let pitch = 23.0
  private static let groupGap = 12.0

  init(_ chart: BarChart) {
    self.chart = chart
    ticks = AxisTicks(
      chart.value, chart.bars.flatMap { [$0.end] + ($0.spread.map { [$0.lowerBound, $0.upperBound] } ?? []) })
    header = ChartHeader(chart.title, chart.subtitle)
    func widest(_ texts: [String]) -> Double { texts.map { ChartText.width($0) }.max() ?? 0 }
    let groups = 1.1 * widest(chart.bars.map(\.group))
    names = ChartDrawing.margin + groups + (groups > 0 ? 14 : 0)
    left = names + widest(chart.bars.map(\.name)) + 10
    right = ChartDrawing.width - ChartDrawing.margin - 10 - widest(chart.bars.map(\.note))
    top = header.height + (chart.parts.count > 1 ? 30 : 4)
    var (y, tops) = (top, [Double]())
    for (index, bar) in chart.bars.enumerated() {
      if index > 0, bar.group != chart.bars[index - 1].group { y += Self.groupGap }
      tops.append(y)
      y += Self.pitch
    }
    self.tops = tops
    bottom = y + 4
  }

  var drawing: ChartDrawing {
    ChartDrawing(
      width: ChartDrawing.width, height: bottom + 54,
      content: header.content + legend + grid + chart.bars.indices.map(bar).joined() + zero)
  }

  private func place(_ value: Double) -> Double { left + (ticks.place(value) ?? 0) * (right - left) }

  private func hue(_ part: Int) -> Hue { Hue.allCases[part % Hue.allCases.count] }

  private var legend: String {
    guard chart.parts.count > 1 else { return "" }
    var (content, x) = ("", ChartDrawing.margin)
    for (part, name) in chart.parts.enumerated() {
      content += SVG.rectangle(x, top - 24, 12, 12, style: "\(hue(part).name)-fill")
      content += SVG.text(name, x + 17, top - 13.5)
      x += 17 + ChartText.width(name) + 14
    }
    return content
  }

  private var grid: String {
    var content = ""
    for (value, label) in zip(ticks.values, ticks.labels) {
      content += SVG.line(place(value), top - 4, place(value), bottom, style: "grid")
      content += SVG.text(label, place(value), bottom + 18, .middle, style: "soft")
    }
    return content + SVG.text(chart.value.title, (left + right) / 2, bottom + 40, .middle, style: "soft")
  }

  private var zero: String { SVG.line(place(0), top - 4, place(0), bottom, style: "axis") }

  private func bar(_ index: Int) -> String {
    let bar = chart.bars[index]
    let (y, middle) = (tops[index], tops[index] + Self.barHeight / 2)
    var content = ""
    if index == 0 || bar.group != chart.bars[index - 1].group {
      content += SVG.text(bar.group, ChartDrawing.margin, middle + 4.5, style: "strong")
    }
    content += SVG.text(bar.name, left - 8, middle + 4.5, .end)
    var start = 0.0
    for (part, value) in bar.values.enumerated() {
      let (from, to) = (place(start), place(start + value))
      content += SVG.rectangle(
        min(from, to), y, abs(to - from), Self.barHeight, style: "bar \(hue(part).name)-fill",
        tip: "\(bar.group) \(bar.name), \(chart.parts[part]): \(Formats.fixed(value, 2))")
      start += value
    }
    var end = max(place(bar.end), place(0))
    if let spread = bar.spread {
      let (low, high) = (place(spread.lowerBound), place(spread.upperBound))
      content += SVG.line(low, middle, high, middle, style: "whisker")
      for x in [low, high] { content += SVG.line(x, middle - 4, x, middle + 4, style: "whisker") }
      end = max(end, high)
    }
    if !bar.note.isEmpty { content += SVG.text(bar.note, end + 8, middle + 4.5) }
    return SVG.group(style: "series", label: "\(bar.group) \(bar.name)", content)
  }
}
