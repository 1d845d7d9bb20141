import Reports

extension BatchNormMNIST {
  /// What was found, to read.
  public func page(_ results: Results, dataset: String) -> Page {
    var page = Page(
      "Batch norm on black and white digits",
      lead: "Three hidden layers of \(Self.width) sigmoids on \(dataset), \(Formats.grouped(steps)) steps of"
        + " \(globalBatchSize) samples at learning rate \(learningRate): figure 1 of Ioffe and Szegedy 2015,"
        + " arXiv:1502.03167.")
    page.findings = findings(results)
    page.figures = [
      Figure(
        "accuracy", accuracyChart(results),
        caption: "Accuracy on all test samples, measured every \(Formats.grouped(interval)) steps"
          + (beginning(results) > 0 ? "; as in the paper, from 70% upwards." : "."))
    ]
    for network in results.networks {
      page.figures.append(
        Figure(
          network.hasBatchNorm ? "inputs-with-batch-norm" : "inputs-without", inputChart(network),
          caption: "The distribution over test samples of what goes into the first sigmoid of the last hidden layer."
            + " Outside of about -4 to 4 a sigmoid hardly learns."))
    }
    page.tables = [table(results)]
    return page
  }

  /// The lowest accuracy that is shown, in percent: the paper's, unless a network ends below it.
  private func beginning(_ results: Results) -> Double {
    results.networks.allSatisfy { $0.points.last.map { $0.accuracy > 0.7 } ?? false } ? 70 : 0
  }

  private func accuracyChart(_ results: Results) -> LineChart {
    LineChart(
      "Test accuracy", subtitle: "with batch norm, and without", x: Axis("steps"), y: Axis("accuracy (%)"),
      series: results.networks.map { network in
        Series(
          network.name,
          network.points.map { Series.Point(Double($0.step), 100 * $0.accuracy) }
            .filter { $0.y >= beginning(results) },
          hue: network.hasBatchNorm ? .blue : .vermillion)
      })
  }

  private func inputChart(_ network: Network) -> LineChart {
    LineChart(
      "A sigmoid's input, \(network.name)\(network.hasBatchNorm ? "" : " batch norm")",
      subtitle: "15th, 50th and 85th percentile over test samples", x: Axis("steps"), y: Axis("input of the sigmoid"),
      series: ["15th", "50th", "85th"].enumerated().map { index, name in
        Series(
          name, network.points.map { Series.Point(Double($0.step), $0.percentiles[index]) },
          hue: [.sky, .blue, .vermillion][index])
      })
  }

  private func findings(_ results: Results) -> [String] {
    guard let with = results.networks.first(where: \.hasBatchNorm),
      let without = results.networks.first(where: { !$0.hasBatchNorm }), let last = with.points.last,
      let end = without.points.last
    else { return [] }
    var findings: [String] = []
    let early = min(10_000, steps / 5)
    if let one = with.points.last(where: { $0.step <= early }),
      let other = without.points.last(where: { $0.step <= early })
    {
      findings.append(
        "After \(Formats.grouped(one.step)) steps the network with batch norm has"
          + " \(Formats.percent(one.accuracy)) of the test samples right, the one without"
          + " \(Formats.percent(other.accuracy)).")
    }
    findings.append(
      "After \(Formats.grouped(last.step)) steps it is \(Formats.percent(last.accuracy)) against"
        + " \(Formats.percent(end.accuracy)).")
    if let first = with.points.first(where: { $0.accuracy >= end.accuracy }) {
      findings.append(
        "Batch norm reaches the other's last accuracy after \(Formats.grouped(first.step)) steps, in"
          + " \(Formats.percent(Double(first.step) / Double(max(1, end.step)))) of the steps.")
    } else {
      findings.append("Batch norm never reaches the other's last accuracy.")
    }
    for network in [with, without] {
      let (low, high) = medians(network)
      findings.append(
        "\(network.hasBatchNorm ? "With" : "Without") batch norm the median of the sigmoid's input moves between"
          + " \(Formats.signed(low, 2)) and \(Formats.signed(high, 2)), and the middle 70% of its inputs end up"
          + " \(Formats.fixed(width(network), 2)) wide.")
    }
    return findings
  }

  private func medians(_ network: Network) -> (low: Double, high: Double) {
    let medians = network.points.map { $0.percentiles[1] }
    return (medians.min() ?? 0, medians.max() ?? 0)
  }

  private func width(_ network: Network) -> Double {
    network.points.last.map { $0.percentiles[2] - $0.percentiles[0] } ?? 0
  }

  private func table(_ results: Results) -> Table {
    var table = Table(
      ["steps"] + results.networks.map { "accuracy \($0.name)" }, numbers: [0, 1, 2], title: "Test accuracy")
    for step in results.networks.first?.points.map(\.step) ?? [] where step % max(1, steps / 10) == 0 {
      let cells = results.networks.map { network in
        network.points.first { $0.step == step }.map { Formats.percent($0.accuracy) } ?? ""
      }
      table.append(["\(Formats.grouped(step))"] + cells)
    }
    return table
  }
}
