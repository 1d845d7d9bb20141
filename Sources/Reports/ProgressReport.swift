import Training

/// Shows how training goes: a bar on a terminal, otherwise a line now and then. For rank 0.
public final class ProgressReport {
  private let totalSteps: Int
  private let stepsPerEpoch: Int
  private let epochs: Int
  private let isInteractive: Bool
  private let bar: ProgressBar
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var lastShown: ContinuousClock.Instant
  private var firstStep: Int?
  private var samples = 0
  private var trainingSeconds = 0.0
  /// Averages over the epoch so far.
  private var epochLoss = 0.0
  private var epochCorrect = 0
  private var epochSamples = 0
  private var lastTest: BatchResult?

  /// The time between two lines where nobody is looking.
  private static let lineInterval = Duration.seconds(10)

  public init(totalSteps: Int, stepsPerEpoch: Int, isInteractive: Bool = Terminal.isInteractive) {
    (self.totalSteps, self.stepsPerEpoch) = (totalSteps, stepsPerEpoch)
    epochs = (totalSteps + stepsPerEpoch - 1) / stepsPerEpoch
    self.isInteractive = isInteractive
    bar = ProgressBar(isInteractive: isInteractive)
    start = clock.now
    lastShown = start
  }

  public func show(_ event: TrainingEvent) {
    switch event {
    case .step(let step): show(step)
    case .epoch(let epoch): show(epoch)
    }
  }

  /// The last line: what came out, and how fast.
  public func finish() {
    let seconds = (clock.now - start) / .seconds(1)
    let accuracy = lastTest.map { "test accuracy \(Formats.percent(Double($0.correct) / Double($0.count))), " } ?? ""
    print(
      "done: \(accuracy)\(Formats.rate(Double(samples) / max(trainingSeconds, 1e-9))) samples/s in training,"
        + " \(Formats.duration(seconds)) in all")
  }

  private func show(_ step: StepReport) {
    if firstStep == nil { firstStep = step.step - 1 }
    samples += step.result.count
    trainingSeconds += step.seconds
    epochLoss += step.result.lossSum
    epochCorrect += step.result.correct
    epochSamples += step.result.count
    let rate = Double(samples) / trainingSeconds
    let done = step.step - (firstStep ?? 0)
    let left = trainingSeconds / Double(done) * Double(totalSteps - step.step)
    var facts: String {
      "epoch \(step.epoch + 1)/\(epochs)  loss \(Formats.fixed(epochLoss / Double(epochSamples), 4))"
        + "  accuracy \(Formats.percent(Double(epochCorrect) / Double(epochSamples)))"
        + "  \(Formats.rate(rate)) samples/s  \(Formats.duration(left)) left"
    }
    bar.show(Double(step.step) / Double(totalSteps), facts)
    guard !isInteractive, clock.now - lastShown > Self.lineInterval else { return }
    lastShown = clock.now
    Terminal.write("step \(step.step)/\(totalSteps)  \(facts)\n")
  }

  private func show(_ epoch: EpochReport) {
    lastTest = epoch.test
    var line =
      "epoch \(epoch.epoch + 1)/\(epochs)  step \(epoch.step)"
      + "  loss \(Formats.fixed(epochLoss / Double(max(epochSamples, 1)), 4))"
      + "  accuracy \(Formats.percent(Double(epochCorrect) / Double(max(epochSamples, 1))))"
    // A run that goes on in the middle of an epoch has not seen its beginning.
    if let firstStep, firstStep > epoch.epoch * stepsPerEpoch { line += " since step \(firstStep)" }
    if let test = epoch.test {
      line +=
        "  test loss \(Formats.fixed(test.loss, 4))"
        + "  test accuracy \(Formats.percent(Double(test.correct) / Double(test.count)))"
    }
    bar.clear()
    Terminal.write(line + "\n")
    (epochLoss, epochCorrect, epochSamples) = (0, 0, 0)
  }
}
