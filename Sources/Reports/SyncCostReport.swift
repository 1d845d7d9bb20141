import Foundation
import Tensors
import Training

/// What sync batch norm costs on the layouts of a job, measured: for people as tables and a page, for programs as JSON.
public struct SyncCostReport: Codable, Sendable {
  public struct Skipped: Codable, Sendable {
    let layout: JobLayout
    let reason: String
  }

  public private(set) var measured: [SyncCost] = []
  public private(set) var skipped: [Skipped] = []

  public init() {}

  /// Adds a measurement.
  ///
  /// - Throws: `LockstepError` if sync gave another model than on an earlier layout with the same batch and shards.
  public mutating func add(_ cost: SyncCost) throws {
    let alike = measured.first { $0.globalBatchSize == cost.globalBatchSize && $0.shards == cost.shards }
    if let alike, alike.sync.fingerprint != cost.sync.fingerprint {
      throw LockstepError(
        "sync on \(cost.layout) gave another model than on \(alike.layout), from the same batches: a wrong answer is not"
          + " worth measuring")
    }
    measured.append(cost)
  }

  /// Notes a layout that cannot be measured.
  public mutating func skip(_ layout: JobLayout, _ reason: String) {
    skipped.append(Skipped(layout: layout, reason: reason))
  }

  /// Forgets what was skipped, before another attempt.
  public mutating func retry() { skipped = [] }

  /// Whether a measurement is there already.
  public func has(_ layout: JobLayout, _ scaling: SyncCost.Scaling) -> Bool {
    measured.contains { $0.layout == layout && $0.scaling == scaling }
  }

  // MARK: - Numbers

  private func rows(_ scaling: SyncCost.Scaling) -> [SyncCost] {
    measured.filter { $0.scaling == scaling }.sorted(by: Self.precedes)
  }

  private static func precedes(_ one: SyncCost, _ other: SyncCost) -> Bool {
    (one.layout.workers, one.layout.ranks) < (other.layout.workers, other.layout.ranks)
  }

  private var rows: [SyncCost] { rows(.strong) + rows(.weak) }

  /// Images per second and CPU, of those of one worker alone.
  private func efficiency(_ cost: SyncCost) -> Double? {
    let alone = measured.first { $0.scaling == cost.scaling && $0.layout.workers == 1 }
    return alone.map { cost.imagesPerSecond(\.sync) / Double(cost.processors) / $0.imagesPerSecond(\.sync) }
  }

  // MARK: - Tables

  /// What was measured, a line per layout and batch.
  public var costs: Table {
    var table = Table(
      [
        "scaling", "layout", "CPUs", "batch", "sync images/s", "local images/s", "sync costs", "spread", "efficiency",
        "sums", "gradients",
      ], numbers: [2, 3, 4, 5, 6, 7, 8, 9, 10], title: "Speed, cost, and what a rank receives in messages per step")
    for row in rows {
      table.append([
        row.scaling.rawValue, row.layout.description, "\(row.processors)", "\(row.globalBatchSize)",
        Formats.rate(row.imagesPerSecond(\.sync)), Formats.rate(row.imagesPerSecond(\.local)),
        Self.percent(row.cost),
        "\(Self.percent(row.costRange.lowerBound)) to \(Self.percent(row.costRange.upperBound))",
        efficiency(row).map { Formats.fixed(100 * $0, 0) + "%" } ?? "",
        Formats.bytes(Int(row.sync.breakdown.sumBytes)), Formats.bytes(Int(row.sync.breakdown.gradientBytes)),
      ])
    }
    return table
  }

  /// Where the time goes.
  public var times: Table {
    var table = Table(
      [
        "scaling", "layout", "batch norm", "step", "spread", "compute", "waiting", "all-reduce", "exchange",
        "all-reduces",
      ], numbers: [3, 4, 5, 6, 7, 8, 9], title: "A step's milliseconds")
    for row in rows {
      for (name, side) in row.sides {
        let breakdown = side.breakdown
        let range = side.rounds.closedRange
        let spread = "\(Self.milliseconds(range.lowerBound)) to \(Self.milliseconds(range.upperBound))"
        table.append(
          [row.scaling.rawValue, row.layout.description, name, Self.milliseconds(side.seconds), spread]
            + StepBreakdown.times.map { Self.milliseconds(breakdown[keyPath: $0.path]) }
            + [Formats.fixed(breakdown.messages, 0)])
      }
    }
    return table
  }

  /// The tables, and the layouts that were skipped.
  public var text: String {
    let notes = skipped.map { "skipped \($0.layout): \($0.reason)\n" }.joined()
    return costs.text + "\n" + times.text + (notes.isEmpty ? "" : "\n" + notes)
  }

  // MARK: - The page

  /// - Parameter subject: "resnet20 on 3x32x32".
  public func page(_ subject: String) -> Page {
    let rounds = measured.map(\.sync.rounds.count).max() ?? 0
    var page = Page(
      "What synchronized batch norm costs",
      lead: "\(subject), on layouts of ranks x threads. On each, steps with sync and with local statistics are measured"
        + " in turn, \(rounds) rounds of each, after a warm-up from which both must come with the right model. Strong"
        + " scaling shares one batch among all workers; weak scaling gives each worker a batch of its own size.")
    page.findings = findings
    page.figures = figures
    page.tables = [costs, times].filter { _ in !measured.isEmpty }
    if !skipped.isEmpty {
      var table = Table(["layout", "why"], numbers: [], title: "Skipped")
      for row in skipped { table.append([row.layout.description, row.reason]) }
      page.tables.append(table)
    }
    return page
  }

  private var findings: [String] {
    var findings: [String] = []
    for row in rows(.strong) where row.layout.workers > 1 {
      let range = row.costRange
      let verdict = range.contains(0) ? "; the rounds do not tell it from nothing" : ""
      findings.append(
        "On \(row.layout), sync costs \(Self.percent(row.cost)) of a step's time (\(Self.percent(range.lowerBound)) to"
          + " \(Self.percent(range.upperBound)) over \(row.costs.count) rounds)\(verdict).")
    }
    let layouts = rows(.strong).map(\.layout.description)
    if layouts.count > 1 {
      findings.append(
        "Sync gave the same model, bit for bit, on \(layouts.joined(separator: ", ")) from the same batches.")
    }
    if let fastest = rows(.strong).max(by: { $0.imagesPerSecond(\.sync) < $1.imagesPerSecond(\.sync) }) {
      let share = efficiency(fastest).map { ", \(Formats.fixed(100 * $0, 0))% parallel efficiency" } ?? ""
      findings.append(
        "The fastest layout for a batch of \(fastest.globalBatchSize) is \(fastest.layout):"
          + " \(Formats.rate(fastest.imagesPerSecond(\.sync))) images per second with sync\(share).")
    }
    if let row = rows(.strong).last(where: { $0.layout.ranks > 1 }) {
      let breakdown = row.sync.breakdown
      findings.append(
        "On \(row.layout) a rank receives \(Formats.bytes(Int(breakdown.sumBytes))) of batch norm's sums per step, in"
          + " \(Formats.fixed(breakdown.messages, 0)) all-reduces; "
          + (breakdown.gradientBytes == 0
            ? "gradients and parameters are in memory that the ranks share."
            : "and \(Formats.bytes(Int(breakdown.gradientBytes))) of gradients and parameters."))
    }
    return findings
  }

  private var figures: [Figure] {
    guard !measured.isEmpty else { return [] }
    let shared = rows.filter { $0.layout.workers > 1 }
    var figures: [Figure] = []
    if !shared.isEmpty {
      var chart = BarChart("What sync costs", value: Axis("sync's step time over local's (%)"), parts: ["cost"])
      for row in shared.sorted(by: Self.precedes) {
        let range = row.costRange
        chart.bars.append(
          BarChart.Bar(
            row.batchName, group: row.layout.description, [100 * row.cost],
            spread: 100 * range.lowerBound...100 * range.upperBound, note: Self.percent(row.cost)))
      }
      figures.append(
        Figure(
          "cost", chart,
          caption:
            "Median of the rounds' ratios; whiskers from the smallest to the largest. Layouts are ranks x threads."
        ))
    }
    for scaling in [SyncCost.Scaling.strong, .weak] where !rows(scaling).isEmpty {
      figures.append(Figure("\(scaling)", timeChart(scaling), caption: Self.timeCaption))
    }
    let shares = rows.compactMap { row in efficiency(row).map { (row: row, share: $0) } }
    if shares.contains(where: { $0.row.layout.workers > 1 }) {
      var chart = BarChart(
        "Parallel efficiency with sync", value: Axis("images per second and CPU, of one worker's (%)"),
        parts: ["efficiency"])
      for (row, share) in shares.sorted(by: { Self.precedes($0.row, $1.row) }) where row.layout.workers > 1 {
        chart.bars.append(
          BarChart.Bar(
            row.batchName, group: row.layout.description, [100 * share], note: Formats.fixed(100 * share, 0) + "%"))
      }
      figures.append(
        Figure(
          "efficiency", chart,
          caption: "100% is what one worker alone does per CPU. Workers beyond the number of CPUs share them."))
    }
    return figures
  }

  private func timeChart(_ scaling: SyncCost.Scaling) -> BarChart {
    let rows = rows(scaling)
    let batches = Formats.unique(rows.map { "\($0.globalBatchSize)" })
    var chart = BarChart(
      scaling == .strong
        ? "A step's time: one batch of \(batches.joined(separator: ", "))"
        : "A step's time: \(rows[0].globalBatchSize / rows[0].layout.workers) samples for each worker",
      value: Axis("milliseconds per step"), parts: StepBreakdown.times.map(\.name))
    for row in rows {
      for (name, side) in row.sides {
        let range = side.rounds.closedRange
        chart.bars.append(
          BarChart.Bar(
            name, group: row.layout.description, StepBreakdown.times.map { 1e3 * side.breakdown[keyPath: $0.path] },
            spread: 1e3 * range.lowerBound...1e3 * range.upperBound,
            note: "\(Formats.rate(Double(row.globalBatchSize) / side.seconds)) images/s"))
      }
    }
    return chart
  }

  private static let timeCaption =
    "Bars are medians of the rounds, whiskers go from the fastest round to the slowest. The parts were measured in steps"
    + " of their own, with a barrier before each message, and are scaled to the median. All-reduce is the messages with"
    + " batch norm's sums once all ranks have come; exchange is gradients, parameters and the update."

  private static func milliseconds(_ seconds: Double) -> String { Formats.rate(1e3 * seconds) }

  private static func percent(_ share: Double) -> String { Formats.signed(100 * share, 1) + "%" }
}

extension SyncCost {
  fileprivate var sides: [(name: String, side: Side)] { [("sync", sync), ("local", local)] }

  fileprivate func imagesPerSecond(_ side: KeyPath<SyncCost, Side>) -> Double {
    Double(globalBatchSize) / self[keyPath: side].seconds
  }

  fileprivate var costRange: ClosedRange<Double> { costs.closedRange }

  fileprivate var batchName: String { "\(scaling), batch \(globalBatchSize)" }
}

extension StepBreakdown {
  /// The parts of a step's time, by their names.
  fileprivate static var times: [(name: String, path: KeyPath<StepBreakdown, Double>)] {
    [
      ("compute", \.compute), ("waiting for workers", \.waiting), ("all-reduce", \.allReduce),
      ("gradient exchange, update", \.exchange),
    ]
  }
}

extension [Double] {
  /// From the least to the greatest.
  fileprivate var closedRange: ClosedRange<Double> { (self.min() ?? 0)...(self.max() ?? 0) }
}
