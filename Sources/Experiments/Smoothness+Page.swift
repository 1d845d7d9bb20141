import Foundation
import Reports
import Tensors

extension Smoothness {
  /// What was found, to read.
  public func page(_ results: Results, dataset: String) -> Page {
    var page = Page(
      "What batch norm does to the loss",
      lead: "\(model) on \(dataset), \(Formats.grouped(steps)) steps of \(globalBatchSize) samples at learning rate"
        + " \(learningRate), with batch norm, without it, and with noise behind it that undoes what it controls; a linear"
        + " network of \(Self.linearLayers) layers. After Santurkar et al. 2018, arXiv:1805.11604.")
    let images = results.networks.filter { !$0.kind.isLinear }
    let linear = results.networks.filter(\.kind.isLinear)
    page.findings = findings(results)
    page.figures =
      [
        Figure(
          "accuracy",
          chart("Training accuracy", "accuracy (%)", images) { network in
            network.course.compactMap { point in
              point.accuracy.map { Series.Point(Double(point.step), 100 * $0) }
            }
          }, caption: "Means over the \(Formats.grouped(interval)) steps before each point, noise included."),
        Figure(
          "loss-landscape",
          chart("Loss along the gradient", "loss", images, .log10) {
            $0.landscapes.compactMap { point($0.step, $0.loss) }
          },
          caption: landscapeCaption("The loss")),
        Figure(
          "gradient-predictiveness",
          chart("Change of the gradient along the gradient", "l2 distance", images, .log10) {
            $0.landscapes.compactMap { point($0.step, $0.gradientChange) }
          }, caption: landscapeCaption("The distance of the gradient there from the gradient here")),
        Figure(
          "smoothness",
          chart("Effective beta-smoothness", "change of the gradient per distance", images, .log10) {
            $0.landscapes.compactMap { landscape in
              landscape.smoothness.map { Series.Point(Double(landscape.step), $0) }
            }
          },
          caption: "The largest ratio of the gradient's change to the distance moved along it. Lower is smoother."),
      ] + shiftFigures("shift", images, model)
      + [
        Figure(
          "linear-loss",
          chart("Loss of the linear network", "squared error per sample", linear, .log10) {
            $0.course.map { Series.Point(Double($0.step), $0.loss) }
          },
          caption: "\(Self.linearLayers) layers of width \(Self.linearWidth), \(Formats.grouped(Self.linearSamples))"
            + " samples at once, learning rate \(linearLearningRate).")
      ] + shiftFigures("linear-shift", linear, "the linear network")
    page.figures.removeAll { ($0.chart as? LineChart)?.series.isEmpty == true }
    page.tables = [table(results)]
    return page
  }

  private func landscapeCaption(_ subject: String) -> String {
    "\(subject) at \(points) points along the gradient, half a step to four steps away: the middle of the range, and the"
      + " range as a band."
  }

  private func point(_ step: Int, _ range: ClosedRange<Double>?) -> Series.Point? {
    range.map { Series.Point(Double(step), ($0.lowerBound * $0.upperBound).squareRoot(), spread: $0) }
  }

  private func chart(
    _ title: String, _ unit: String, _ networks: [Network], _ scale: Axis.Scale = .linear,
    _ points: (Network) -> [Series.Point]
  ) -> LineChart {
    LineChart(
      title, x: Axis("steps"), y: Axis(unit, scale),
      series: networks.map { Series($0.kind.label, points($0), hue: $0.kind.hue) }.filter { !$0.points.isEmpty })
  }

  /// For each layer, the distance and the cosine.
  private func shiftFigures(_ name: String, _ networks: [Network], _ subject: String) -> [Figure] {
    let layers = Set(networks.flatMap { $0.shifts.map(\.layer) }).sorted()
    return layers.flatMap { layer in
      func points(_ network: Network, _ value: (CovariateShift) -> Double) -> [Series.Point] {
        network.shifts.filter { $0.layer == layer }.map { Series.Point(Double($0.step), value($0)) }
      }
      return [
        Figure(
          "\(name)-\(layer)-distance",
          chart("Covariate shift of layer \(layer): distance", "l2 distance", networks, .log10) {
            points($0, \.difference)
          },
          caption: "How far the gradient of layer \(layer) of \(subject) moves when the layers below take their step."),
        Figure(
          "\(name)-\(layer)-cosine",
          chart("Covariate shift of layer \(layer): angle", "cosine", networks) { points($0, \.cosine) },
          caption: "The cosine between the gradient of layer \(layer) of \(subject) before and after: 1 is no shift."),
      ]
    }
  }

  private func findings(_ results: Results) -> [String] {
    func network(_ kind: Kind) -> Network? { results.networks.first { $0.kind == kind } }
    var findings = results.networks.compactMap { network in
      network.failure.map { "Training \(network.kind.phrase) ended early: \($0)." }
    }
    guard let norm = network(.batchNorm), let plain = network(.plain) else { return findings }
    for (name, value) in measures {
      if let one = norm.landscapes.compactMap(value).median, let other = plain.landscapes.compactMap(value).median {
        findings.append(
          "\(name): median \(significant(one)) with batch norm, \(significant(other)) without, so that batch norm is"
            + " \(one < other ? "smoother by a factor of \(significant(other / one)), as in the paper" : "not smoother here, other than in the paper")."
        )
      }
    }
    if let noisy = network(.noisy), let last = noisy.course.last?.accuracy, let with = norm.course.last?.accuracy,
      let without = plain.course.last?.accuracy
    {
      let kept =
        with > without
        ? "noise leaves batch norm \(Formats.fixed(100 * (last - without) / (with - without), 0))% of its lead; in the paper"
          + " nearly all of it" : "batch norm has no lead here, other than in the paper"
      findings.append(
        "In the last \(Formats.grouped(interval)) steps training accuracy is \(Formats.percent(with)) with batch norm,"
          + " \(Formats.percent(last)) with noise behind it, \(Formats.percent(without)) without: \(kept)."
      )
    }
    for (one, other, name) in [
      (norm, plain, model), (network(.linearBatchNorm), network(.linearPlain), "the linear network"),
    ] {
      guard let one, let other, let a = one.shifts.map(\.cosine).median, let b = other.shifts.map(\.cosine).median
      else { continue }
      findings.append(
        "Covariate shift in \(name): the median cosine between a layer's gradients before and after is"
          + " \(Formats.fixed(a, 3)) with batch norm, \(Formats.fixed(b, 3)) without: batch norm"
          + " \(a > b ? "reduces it" : "does not reduce it") here.")
    }
    return findings
  }

  /// What is compared of landscapes.
  private var measures: [(name: String, value: (LossLandscape) -> Double?)] {
    [
      ("Range of the loss along the gradient", { $0.loss.map { $0.upperBound - $0.lowerBound } }),
      ("Largest change of the gradient along it", { $0.gradientChange?.upperBound }),
      ("Effective beta-smoothness", \.smoothness),
    ]
  }

  /// Three digits.
  private func significant(_ value: Double) -> String {
    let magnitude = value.isNormal ? Int(log10(abs(value)).rounded(.down)) : 0
    return Formats.fixed(value, max(0, 2 - magnitude))
  }

  private func table(_ results: Results) -> Table {
    var table = Table(
      ["network", "steps", "last training loss", "training accuracy", "test accuracy"] + measures.map(\.name),
      numbers: Set(1...7), title: "Ends, and medians over training")
    for network in results.networks {
      table.append(
        [
          network.kind.rawValue, Formats.grouped(network.course.last?.step ?? 0),
          network.course.last.map { Formats.fixed($0.loss, 4) } ?? "",
          network.course.last?.accuracy.map(Formats.percent) ?? "", network.testAccuracy.map(Formats.percent) ?? "",
        ]
          + measures.map { _, value in
            network.landscapes.compactMap(value).median.map(significant) ?? ""
          })
    }
    return table
  }
}

extension Smoothness.Kind {
  var label: String {
    switch self {
    case .batchNorm, .linearBatchNorm: "batch norm"
    case .plain, .linearPlain: "without"
    case .noisy: "noisy batch norm"
    }
  }

  var hue: Hue {
    switch self {
    case .batchNorm, .linearBatchNorm: .blue
    case .plain, .linearPlain: .vermillion
    case .noisy: .green
    }
  }

  /// As it stands in a sentence.
  var phrase: String {
    switch self {
    case .batchNorm: "with batch norm"
    case .plain: "without batch norm"
    case .noisy: "with noisy batch norm"
    case .linearBatchNorm: "the linear network with batch norm"
    case .linearPlain: "the linear network without batch norm"
    }
  }
}
