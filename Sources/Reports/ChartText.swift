/// Text in a chart: how wide it will be, how it is broken into lines, and where labels go.
package enum ChartText {
  /// The usual size, in pixels.
  package static let size = 13.0

  /// A width that the text will not exceed, in pixels.
  ///
  /// Nobody knows the reader's font; these are the widths of a wide one, DejaVu Sans, by groups of letters.
  package static func width(_ text: String, size: Double = size) -> Double {
    text.reduce(0) { $0 + size * em($1) }
  }

  private static func em(_ letter: Character) -> Double {
    switch letter {
    case "i", "l", "j", "I", "|", "'", "!": 0.3
    case " ", ".", ",", ":", ";", "f", "t", "r", "(", ")", "-", "/", "·": 0.41
    case "⁻", "⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹": 0.45
    case "m", "w", "M", "W", "%", "@", "—": 0.99
    case "−", "×", "=", "<", ">", "+", "≈": 0.84
    default: letter.isUppercase ? 0.76 : 0.64
    }
  }

  /// The words in lines of at most that width.
  package static func lines(_ text: String, width: Double, size: Double = size) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let line = lines.last, Self.width(line + " " + word, size: size) <= width {
        lines[lines.count - 1] = line + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }

  /// Places for labels of one height: as near as possible to where they want to be, in that order, without overlap.
  ///
  /// Neighbours that would overlap form a cluster about the mean of their wishes: the least squares solution, found by
  /// pooling adjacent violators (Barlow et al. 1972, Statistical inference under order restrictions).
  ///
  /// - Parameters:
  ///   - wishes: the places of the labels' centres.
  ///   - range: where the centres may be; large enough for all of them.
  package static func spread(_ wishes: [Double], height: Double, in range: ClosedRange<Double>) -> [Double] {
    let order = wishes.indices.sorted { (wishes[$0], $0) < (wishes[$1], $1) }
    /// A run of labels, `height` apart.
    struct Cluster {
      var start: Double
      var count: Int
    }
    var clusters: [Cluster] = []
    for index in order {
      clusters.append(Cluster(start: min(max(wishes[index], range.lowerBound), range.upperBound), count: 1))
      while clusters.count > 1, let last = clusters.last {
        let before = clusters[clusters.count - 2]
        guard before.start + Double(before.count) * height > last.start + 1e-9 else { break }
        let count = before.count + last.count
        let shifted = last.start - Double(before.count) * height
        let mean = (Double(before.count) * before.start + Double(last.count) * shifted) / Double(count)
        let highest = range.upperBound - Double(count - 1) * height
        clusters.removeLast(2)
        clusters.append(Cluster(start: max(range.lowerBound, min(mean, highest)), count: count))
      }
    }
    let places = clusters.flatMap { cluster in (0..<cluster.count).map { cluster.start + Double($0) * height } }
    var result = wishes
    for (place, index) in zip(places, order) { result[index] = place }
    return result
  }
}
