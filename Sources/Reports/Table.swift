/// Cells in columns: for a terminal, and for a page.
public struct Table: Sendable {
  /// What it shows, above it on a page.
  public var title: String
  private var lines: [[String]]
  /// The columns of numbers, aligned at the right.
  private let numbers: Set<Int>

  public init(_ header: [String], numbers: Set<Int>, title: String = "") {
    self.title = title
    self.numbers = numbers
    lines = [header]
  }

  public mutating func append(_ cells: [String]) { lines.append(cells) }

  public var text: String {
    let widths = (0..<lines[0].count).map { column in lines.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for (number, line) in lines.enumerated() {
      let cells = line.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return numbers.contains(column) ? padding + cell : cell + padding
      }
      text += cells.joined(separator: "  ").trimmingTrailingSpaces + "\n"
      if number == 0 { text += widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "\n" }
    }
    return text
  }

  var html: String {
    func row(_ cells: [String], _ element: String) -> String {
      let cells = cells.enumerated().map { column, cell in
        "<\(element)\(numbers.contains(column) ? " class=\"number\"" : "")>\(SVG.escaped(cell))</\(element)>"
      }
      return "<tr>\(cells.joined())</tr>\n"
    }
    let caption = title.isEmpty ? "" : "<caption>\(SVG.escaped(title))</caption>\n"
    return "<div class=\"table\"><table>\n\(caption)<thead>\n\(row(lines[0], "th"))</thead>\n<tbody>\n"
      + lines.dropFirst().map { row($0, "td") }.joined() + "</tbody>\n</table></div>\n"
  }
}

extension String {
  fileprivate var trimmingTrailingSpaces: String {
    String(reversed().drop { $0 == " " }.reversed())
  }
}
