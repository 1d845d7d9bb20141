/// A chart's title and what was run, above everything else.
struct ChartHeader {
  let content: String
  let height: Double

  init(_ title: String, _ subtitle: String) {
    let width = ChartDrawing.width - 2 * ChartDrawing.margin
    var (content, y) = ("", ChartDrawing.margin)
    for line in ChartText.lines(title, width: width, size: 17.5) {
      y += 16
      content += SVG.text(line, ChartDrawing.margin, y, style: "title")
      y += 5
    }
    for line in ChartText.lines(subtitle, width: width) {
      y += 14
      content += SVG.text(line, ChartDrawing.margin, y, style: "soft")
      y += 3
    }
    (self.content, height) = (content, y + 8)
  }
}
