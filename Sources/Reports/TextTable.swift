/// Cells in columns, for a terminal.
struct TextTable {
  private var lines: [[String]]

  init(_ header: [String]) {
    lines = [header]
  }

  mutating func append(_ cells: [String]) { lines.append(cells) }

  /// - Parameter rightAligned: the columns of numbers.
  func text(rightAligned: Set<Int>) -> String {
    let widths = (0..<lines[0].count).map { column in lines.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for (number, line) in lines.enumerated() {
      let cells = line.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return rightAligned.contains(column) ? padding + cell : cell + padding
      }
      text += cells.joined(separator: "  ").trimmingTrailingSpaces + "\n"
      if number == 0 { text += widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "\n" }
    }
    return text
  }
}

extension String {
  fileprivate var trimmingTrailingSpaces: String {
    String(reversed().drop { $0 == " " }.reversed())
  }
}
