import Reports
import Training

extension AccuracyBench {
  /// What was found, to read.
  public func page(_ results: Results, dataset: String) -> Page {
    let batch = options.globalBatchSize
    var page = Page(
      "Accuracy against samples per worker",
      lead: "\(model) on \(dataset), global batch \(batch), \(Formats.count(seeds, "seed")): the accuracy on test"
        + " samples after the last epoch.")
    page.findings = findings(results)
    page.figures = [
      Figure(
        "accuracy", accuracyChart(results),
        caption:
          "Means of \(Formats.count(seeds, "seed")); bands from the lowest to the highest. A worker's batch"
          + " norm sees its own samples (local) or the global batch (sync); group norm sees one sample."),
      Figure(
        "epochs", epochChart(results), caption: "Means over seeds of the accuracy on test samples after each epoch."),
    ]
    page.tables = [accuracyTable(results), layoutTable(results)]
    return page
  }

  /// The final accuracies of a kind, in percent.
  private func accuracies(_ kind: Kind, _ results: Results) -> [Double] {
    results.runs.filter { $0.normalization == kind }.map { 100 * $0.finalAccuracy }
  }

  private func point(_ x: Double, _ kind: Kind, _ results: Results) -> Series.Point? {
    let values = accuracies(kind, results)
    guard let low = values.min(), let high = values.max() else { return nil }
    return Series.Point(x, mean(values), spread: low...high)
  }

  private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }

  private var allSamples: [Int] { samplesPerWorker.sorted() + [options.globalBatchSize] }

  private func accuracyChart(_ results: Results) -> LineChart {
    func constant(_ name: String, _ kind: Kind, _ hue: Hue) -> Series {
      Series(name, allSamples.compactMap { point(Double($0), kind, results) }, hue: hue)
    }
    // One worker's samples are the global batch.
    let local = allSamples.compactMap { samples in
      point(
        Double(samples), samples == options.globalBatchSize ? .sync : .local(samplesPerWorker: samples), results)
    }
    return LineChart(
      "Final test accuracy", subtitle: "\(model), global batch \(options.globalBatchSize)",
      x: Axis("samples per worker", .log2), y: Axis("accuracy (%)"),
      series: [
        constant("sync", .sync, .blue), constant("group norm", .group, .green),
        Series("local", local, hue: .vermillion),
      ].filter { !$0.points.isEmpty })
  }

  private func epochChart(_ results: Results) -> LineChart {
    let kinds: [(Kind, Hue?)] =
      [(.sync, .blue), (.group, .green)]
      + samplesPerWorker.sorted().prefix(3).map { (.local(samplesPerWorker: $0), nil) }
    return LineChart(
      "Test accuracy in the course of training", subtitle: "\(model), global batch \(options.globalBatchSize)",
      x: Axis("epochs"), y: Axis("accuracy (%)"),
      series: kinds.compactMap { kind, hue in
        let runs = results.runs.filter { $0.normalization == kind }
        guard let epochs = runs.map(\.testAccuracy.count).min(), epochs > 0 else { return nil }
        return Series(
          kind.description,
          (0..<epochs).map { epoch in
            Series.Point(Double(epoch + 1), mean(runs.map { 100 * $0.testAccuracy[epoch] }))
          }, hue: hue)
      })
  }

  private func findings(_ results: Results) -> [String] {
    var findings: [String] = []
    let sync = accuracies(.sync, results)
    if !results.layouts.isEmpty {
      let isSame = results.layouts.allSatisfy { $0.sync == results.layouts[0].sync }
      let counts = results.layouts.map { "\($0.workers)" }.joined(separator: ", ")
      findings.append(
        "Sync batch norm gives \(isSame ? "the same model, bit for bit," : "DIFFERENT models") on \(counts) workers,"
          + " so that its accuracy is \(isSame ? "" : "not ")the same for any number of them.")
      let agree = results.layouts.count { $0.local == $0.ghost }
      findings.append(
        "On \(agree) of \(results.layouts.count) layouts local batch norm is, bit for bit, that of groups of as many"
          + " samples, by which it is simulated.")
    }
    guard !sync.isEmpty else { return findings }
    findings.append("Sync batch norm reaches \(Formats.fixed(mean(sync), 2))%\(spread(sync)).")
    for samples in samplesPerWorker.sorted(by: >) {
      let local = accuracies(.local(samplesPerWorker: samples), results)
      if !local.isEmpty {
        findings.append(
          "Local batch norm with \(samples) samples per worker reaches \(Formats.fixed(mean(local), 2))%\(spread(local)),"
            + " \(difference(mean(local) - mean(sync))) sync.")
      }
    }
    let group = accuracies(.group, results)
    if !group.isEmpty {
      findings.append(
        "Group norm reaches \(Formats.fixed(mean(group), 2))%\(spread(group)),"
          + " \(difference(mean(group) - mean(sync))) sync, whatever the number of workers.")
    }
    return findings
  }

  private func spread(_ values: [Double]) -> String {
    values.count < 2 ? "" : " (\(Formats.fixed(values.min()!, 2)) to \(Formats.fixed(values.max()!, 2)))"
  }

  private func difference(_ points: Double) -> String {
    abs(points) < 0.005 ? "the same as" : "\(Formats.fixed(abs(points), 2)) points \(points < 0 ? "below" : "above")"
  }

  private func accuracyTable(_ results: Results) -> Table {
    var table = Table(
      ["samples per worker", "workers", "local", "sync", "group norm", "Wu and He: batch norm's error"],
      numbers: [0, 1, 2, 3, 4, 5],
      title:
        "Final test accuracy in percent; beside it the validation error of ResNet-50 on ImageNet (Wu, He 2018, table 2;"
        + " group norm about 24.1 throughout)")
    for samples in allSamples.reversed() {
      func cell(_ kind: Kind) -> String {
        let values = accuracies(kind, results)
        return values.isEmpty ? "" : Formats.fixed(mean(values), 2)
      }
      table.append([
        "\(samples)", "\(options.globalBatchSize / samples)",
        cell(samples == options.globalBatchSize ? .sync : .local(samplesPerWorker: samples)), cell(.sync), cell(.group),
        Self.publishedErrors[samples].map { Formats.fixed($0, 1) } ?? "",
      ])
    }
    return table
  }

  /// By samples per worker.
  private static let publishedErrors = [32: 23.6, 16: 23.7, 8: 24.8, 4: 27.3, 2: 34.7]

  private func layoutTable(_ results: Results) -> Table {
    var table = Table(
      ["workers", "samples per worker", "sync", "local", "ghost, one worker"], numbers: [0, 1],
      title: "Fingerprints of the models after \(Self.layoutSteps) steps")
    for layout in results.layouts {
      table.append(
        ["\(layout.workers)", "\(layout.samplesPerWorker)"] + [layout.sync, layout.local, layout.ghost].map(short))
    }
    return table
  }

  private func short(_ fingerprint: String) -> String { String(fingerprint.split(separator: " ").last ?? "") }
}
