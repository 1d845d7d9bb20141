import Foundation
import Tensors
import Training

/// How noisy per-worker statistics are, in a fresh and in a trained network: for people as a table and a page, for
/// programs as JSON.
public struct NoiseReport: Codable, Sendable {
  public var fresh: StatisticsNoise?
  public var trained: StatisticsNoise?
  /// How the trained network came about.
  public var training = ""

  public init() {}

  /// The networks measured so far.
  private var states: [(name: String, noise: StatisticsNoise)] {
    [("fresh", fresh), ("trained", trained)].compactMap { name, noise in noise.map { (name, $0) } }
  }

  private static let kinds: [(name: String, path: KeyPath<StatisticsNoise.Point, Double> & Sendable)] = [
    ("mean", \.mean), ("variance", \.variance),
  ]

  // MARK: - Tables

  /// For each network, a line per batch norm.
  public var tables: [Table] {
    states.map { state, noise in
      var table = Table(
        [
          "batch norm", "values per sample", "count as", "slope of mean", "slope of variance",
          "mean's error at \(fewest)", "at \(most)",
        ], numbers: Set(1...6),
        title: "The \(state) network: how many independent values a sample's count as; slopes of log noise against log"
          + " samples; and a worker's error in the mean, in standard deviations of the channel")
      for layer in noise.layers {
        table.append([
          layer.name, Formats.grouped(layer.positions), Formats.fixed(layer.independentValues, 1),
          Formats.signed(layer.slope(\.mean), 3), Formats.signed(layer.slope(\.variance), 3),
          Formats.fixed(layer.points.first!.mean.squareRoot(), 3),
          Formats.fixed(layer.points.last!.mean.squareRoot(), 3),
        ])
      }
      return table
    }
  }

  /// The tables, and what they say.
  public var text: String {
    zip(states, tables).map { "\($0.name) network\n\($1.text)\n" }.joined() + findings.joined(separator: "\n") + "\n"
  }

  private var fewest: Int { states.first?.noise.layers.first?.points.first?.samples ?? 0 }
  private var most: Int { states.first?.noise.layers.first?.points.last?.samples ?? 0 }

  // MARK: - The page

  /// - Parameter subject: "resnet20 on fashion-mnist, 16 batches of 128 samples".
  public func page(_ subject: String) -> Page {
    var page = Page(
      "How noisy per-worker batch statistics are",
      lead:
        "\(subject). Each batch is cut into groups of N consecutive samples, as workers with N samples each would have"
        + " them, and every batch norm's mean and variance per channel is taken over each group."
        + (trained == nil ? "" : " The trained network: \(training)."))
    page.findings = findings
    for (state, noise) in states {
      for (kind, path) in Self.kinds {
        page.figures.append(
          Figure("\(state)-\(kind)", chart(state, noise, kind, path), caption: Self.caption(kind)))
      }
    }
    if !states.isEmpty {
      page.figures.append(
        Figure(
          "slopes", slopes,
          caption:
            "Weighted least squares fits of log noise against log samples per worker. −1 is the law of independent"
            + " samples."))
      page.tables = tables
    }
    return page
  }

  private var findings: [String] {
    var findings: [String] = []
    for (state, noise) in states {
      for (kind, path) in Self.kinds {
        let slopes = noise.layers.map { $0.slope(path) }
        let near = slopes.count { abs($0 + 1) <= 0.1 }
        findings.append(
          "In the \(state) network the variance of the batch \(kind) falls as N^\(Formats.signed(slopes.median!, 2)) with"
            + " the samples per worker N (median of \(slopes.count) layers, \(Formats.signed(slopes.min()!, 2)) to"
            + " \(Formats.signed(slopes.max()!, 2))): \(near == slopes.count ? "all" : "\(near) of \(slopes.count)")"
            + " within 10% of the 1/N law.")
      }
      let errors = noise.layers.map { ($0.points.first!.mean.squareRoot(), $0.points.last!.mean.squareRoot(), $0.name) }
      let worst = errors.max { $0.0 < $1.0 }!
      findings.append(
        "In the \(state) network a worker with \(fewest) samples is off by"
          + " \(Formats.fixed(errors.map(\.0).median!, 2)) standard deviations in a channel's mean (median of the"
          + " layers; \(Formats.fixed(worst.0, 2)) in \(worst.2)); sync, with all \(most), by"
          + " \(Formats.fixed(errors.map(\.1).median!, 3)).")
    }
    return findings
  }

  /// The lines of all layers, with the quietest, the median and the noisiest named.
  private func chart(
    _ state: String, _ noise: StatisticsNoise, _ kind: String, _ path: KeyPath<StatisticsNoise.Point, Double>
  ) -> LineChart {
    func points(_ layer: StatisticsNoise.Layer) -> [Series.Point] {
      layer.points.map { Series.Point(Double($0.samples), $0[keyPath: path]) }
    }
    let ordered = noise.layers.sorted { $0.points[0][keyPath: path] < $1.points[0][keyPath: path] }
    let named = [
      (ordered.last!, "noisiest: ", Hue.vermillion), (ordered[ordered.count / 2], "median: ", .blue),
      (ordered.first!, "quietest: ", .green),
    ]
    var chart = LineChart(
      "Noise of the batch \(kind), \(state) network",
      x: Axis("samples per worker, N", .log2),
      y: Axis(
        kind == "mean" ? "variance of the mean / channel's variance" : "variance of the variance / its square", .log10))
    chart.series = ordered.dropFirst().dropLast().map { Series($0.name, points($0), .faint, hue: .sky) }
    let distinct = ordered.count > 2 ? named : [named[1]]
    chart.series += distinct.map { Series($1 + $0.name, points($0), hue: $2) }
    if let first = named[1].0.points.first, let last = named[1].0.points.last {
      let law = named[1].0.points.map {
        Series.Point(Double($0.samples), first[keyPath: path] * Double(first.samples) / Double($0.samples))
      }
      chart.series.append(Series("1/N", law, .reference))
      let global = last[keyPath: path]
      chart.series.append(
        Series("sync, all \(last.samples)", [first, last].map { Series.Point(Double($0.samples), global) }, .reference))
    }
    return chart
  }

  private static func caption(_ kind: String) -> String {
    "One line per batch norm: how much the batch \(kind) differs between workers with N samples each, averaged over"
      + " channels. Dashed: the 1/N law through the median layer's first point, and that layer's noise over the whole"
      + " global batch, which is what sync has whatever N is."
  }

  private var slopes: LineChart {
    let hues: [Hue] = [.blue, .vermillion, .green, .purple]
    var chart = LineChart(
      "The slopes, layer by layer", x: Axis("batch norm, in the order of computation"), y: Axis("slope of log noise"))
    for (index, (state, noise)) in states.enumerated() {
      for (number, (kind, path)) in Self.kinds.enumerated() {
        chart.series.append(
          Series(
            "\(kind), \(state)",
            noise.layers.enumerated().map { Series.Point(Double($0.offset + 1), $0.element.slope(path)) },
            hue: hues[2 * index + number]))
      }
    }
    let count = states.first?.noise.layers.count ?? 1
    chart.series.append(Series("1/N law", [Series.Point(1, -1), Series.Point(Double(count), -1)], .reference))
    return chart
  }
}
