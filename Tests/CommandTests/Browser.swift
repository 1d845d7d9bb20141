import Foundation
import Tensors
import Testing

/// Pages as a reader's browser shows them: headless Chromium lays them out and measures.
enum Browser {
  private static let names = ["chromium", "chromium-browser", "google-chrome"]
  static let executable = names.first { name in
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
      .contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
  }
  static let exists = executable != nil
  static let isNeeded = ConditionTrait.enabled(
    if: exists, "no browser: \(names.joined(separator: ", ")) are not installed")

  /// A rectangle of the window, in pixels.
  struct Box: Decodable {
    let left, top, right, bottom: Double

    var isEmpty: Bool { right - left < 1 && bottom - top < 1 }

    func overlaps(_ other: Box) -> Bool {
      min(right, other.right) - max(left, other.left) > 1 && min(bottom, other.bottom) - max(top, other.top) > 2
    }

    func contains(_ other: Box) -> Bool {
      left - 0.5 <= other.left && top - 0.5 <= other.top && other.right <= right + 0.5 && other.bottom <= bottom + 0.5
    }
  }

  /// What the browser found in a chart.
  struct Picture: Decodable {
    struct Text: Decodable {
      let text: String
      let box: Box
    }
    struct Series: Decodable {
      let name: String
      /// Of each line, marker or bar.
      let marks: [Box]
    }
    let name: String
    let box: Box
    let texts: [Text]
    let series: [Series]

    /// What a reader would complain about.
    var faults: [String] {
      var faults: [String] = []
      if box.isEmpty { faults.append("\(name) is not drawn") }
      if series.isEmpty { faults.append("\(name) shows nothing") }
      for series in series where !series.marks.contains(where: { !$0.isEmpty }) {
        faults.append("\(name): the series \(series.name) is empty")
      }
      for series in series where series.marks.contains(where: { !box.contains($0) }) {
        faults.append("\(name): the series \(series.name) leaves the chart")
      }
      for (index, text) in texts.enumerated() {
        if !box.contains(text.box) { faults.append("\(name): \"\(text.text)\" is clipped") }
        for other in texts[..<index] where other.box.overlaps(text.box) {
          faults.append("\(name): \"\(other.text)\" and \"\(text.text)\" overlap")
        }
      }
      return faults
    }
  }

  private struct Measured: Decodable {
    let figures: [Picture]
    /// Pixels by which the page is wider than the window.
    let excess: Double
    let requests: Int
  }

  /// Opens a page and lists what is wrong with it.
  ///
  /// - Parameter figures: the charts that it must show.
  static func faults(_ html: String, figures: [String]) throws -> [String] {
    let folder = try TemporaryFolder()
    try folder.write(Data((html + "<script>\(script)</script>").utf8), to: "page.html")
    let outcome = try Launch(
      executable: executable!,
      arguments: [
        "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=\(folder.path("profile"))",
        "--window-size=1000,800", "--virtual-time-budget=2000", "--dump-dom", "file://\(folder.path("page.html"))",
      ]
    ).run()
    let text = outcome.output.firstMatch(of: /<pre id="measured">([^<]*)<\/pre>/)?.1
    guard let text, let data = Data(base64Encoded: String(text)) else {
      throw LockstepError("the browser measured nothing: \(outcome.text.suffix(2000))")
    }
    let measured = try JSONDecoder().decode(Measured.self, from: data)
    var faults = measured.figures.flatMap(\.faults)
    for name in figures where !measured.figures.contains(where: { $0.name == name }) {
      faults.append("the chart \(name) is missing")
    }
    if measured.excess > 0 { faults.append("the page is \(measured.excess) pixels wider than the window") }
    if measured.requests > 0 { faults.append("the page loads \(measured.requests) other files") }
    return faults
  }

  private static let script = """
    function box(element) {
      const {left, top, right, bottom} = element.getBoundingClientRect()
      return {left, top, right, bottom}
    }
    const figures = [...document.querySelectorAll("figure")].map(figure => ({
      name: figure.id,
      box: figure.querySelector("svg") ? box(figure.querySelector("svg")) : {left: 0, top: 0, right: 0, bottom: 0},
      texts: [...figure.querySelectorAll("text")].map(text => ({text: text.textContent, box: box(text)})),
      series: [...figure.querySelectorAll(".series")].map(series => ({
        name: series.getAttribute("aria-label") ?? "", marks: [...series.querySelectorAll("path, rect")].map(box)
      }))
    }))
    const root = document.documentElement
    const measured = {
      figures, excess: root.scrollWidth - root.clientWidth, requests: document.querySelectorAll("[src], link, use, image").length
    }
    const result = document.createElement("pre")
    result.id = "measured"
    result.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(measured))))
    document.body.append(result)
    """
}
