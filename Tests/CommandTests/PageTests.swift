import Foundation
import Reports
import Tensors
import Testing

extension CommandTests {
  /// Pages of awkward numbers, in a browser; and planted faults, which must be found.
  @Suite(Browser.isNeeded) struct PageTests {
    private static let lines = LineChart(
      "Lines that end at the same place & names <as long as they are in practice>",
      subtitle: "A subtitle that says at length what was run, on which data, with which options, and how often it was"
        + " repeated, so that it takes two lines",
      x: Axis("samples per worker", .log2), y: Axis("error (%)"),
      series: [
        Series("sync", (1...7).map { Series.Point(exp2(Double($0)), 8.4, spread: 8.1...8.7) }),
        Series("group norm", (1...7).map { Series.Point(exp2(Double($0)), 8.5) }),
        Series(
          "local",
          (1...7).map {
            let y = 8.4 + 60 / exp2(1.5 * Double($0))
            return Series.Point(exp2(Double($0)), y, spread: y - 1...y + 1)
          }),
        Series("with a gap", [Series.Point(2, 10), Series.Point(4, .nan), Series.Point(128, 8.6)]),
        Series("one alone", [Series.Point(16, 20)]), Series("orange", [Series.Point(2, 14), Series.Point(64, 12)]),
        Series("layer", [Series.Point(2, 12), Series.Point(128, 11)], .faint),
        Series("Wu and He 2018", [Series.Point(2, 34.7), Series.Point(128, 23.6)], .reference),
      ])

    private static let logarithms = LineChart(
      "Over six decades", x: Axis("step"), y: Axis("variance", .log10),
      series: [Series("falling", (1...500).map { Series.Point(Double($0), 1e-7 * pow(10, 6 * Double($0) / 500)) })])

    private static let narrow = LineChart(
      "Hardly any range", x: Axis("epoch"), y: Axis("loss", .log10),
      series: [Series("loss", [Series.Point(1, 0.51), Series.Point(2, 0.509)])])

    private static let bars = BarChart(
      "Where a step's time goes", value: Axis("time per step (ms)"),
      parts: ["compute", "waiting for other workers", "all-reduce latency", "gradient exchange"],
      bars: ["1x1", "1x2", "16x128"].flatMap { group in
        ["sync", "local"].map {
          BarChart.Bar($0, group: group, [100, 10, 0.4, 5], spread: 108...123, note: "1,234 images/s")
        }
      })

    private static let signs = BarChart(
      "What sync costs", value: Axis("cost (%)"), parts: ["cost"],
      bars: [
        BarChart.Bar("1x2", [-1.2], spread: -3...0.5, note: "−1.2%"),
        BarChart.Bar("2x2", [4.5], spread: 3...9, note: "4.5%"), BarChart.Bar("4x4", [0], note: "0.0%"),
      ])

    private static let figures = ["lines", "logarithms", "narrow", "bars", "signs"]

    /// The page as its folder holds it.
    private func html() throws -> String {
      var page = Page("A page of awkward charts", lead: "Nothing was run.")
      page.findings = ["1 < 2 & 3 > 2.", "A finding."]
      let charts: [any Chart] = [Self.lines, Self.logarithms, Self.narrow, Self.bars, Self.signs]
      page.figures = zip(Self.figures, charts).map { Figure($0, $1, caption: "A caption.") }
      var table = Table(["layout", "images/s"], numbers: [1], title: "A table")
      table.append(["1x1", "1,234"])
      page.tables = [table]
      let folder = try TemporaryFolder()
      let output = OutputFolder(folder.path, options: [], facts: RunFacts(version: "0", ranks: 2))
      try output.write(page, ["x": 1])
      for name in Self.figures { #expect(try folder.data("\(name).svg").count > 1000) }
      return String(decoding: try folder.data("index.html"), as: UTF8.self)
    }

    @Test func awkwardChartsAreLegible() throws {
      #expect(try Browser.faults(html(), figures: Self.figures) == [])
    }

    /// Each fault in a copy of the page of its own.
    @Test func faultsAreFound() throws {
      let html = try html()
      func check(_ old: String, _ new: String, _ fault: String, _ place: SourceLocation = #_sourceLocation) throws {
        let range = try #require(html.range(of: old), sourceLocation: place)
        let faults = try Browser.faults(html.replacingCharacters(in: range, with: new), figures: Self.figures)
        #expect(faults.contains { $0.contains(fault) }, "\(faults)", sourceLocation: place)
      }
      try check("<figure id=\"narrow\">", "<figure id=\"other\">", "the chart narrow is missing")
      try check(
        "<g class=\"series\"", "<g class=\"series\" aria-label=\"none\"></g><g class=\"series\"",
        "the series none is empty")
      try check(">group norm</text>", " dy=\"-10\">group norm</text>", "overlap")
      try check(">Wu and He 2018</text>", ">Wu and He, who wrote it in 2018 and later</text>", "is clipped")
      try check("</main>", "<img src=\"lines.svg\"></main>", "loads 1 other files")
    }
  }
}
