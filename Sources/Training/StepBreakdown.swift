import Collectives
import Tensors

/// Where a step's time goes as a cluster's user sees it: a worker's mean seconds, and what a rank receives.
public struct StepBreakdown: Codable, Sendable {
  /// Reading samples, kernels, sums over shards, copies of weights.
  public var compute = 0.0
  /// For other workers, of this rank and of others, to come to the same place.
  public var waiting = 0.0
  /// The messages with batch norm's sums, from when all ranks had come.
  public var allReduce = 0.0
  /// Gradients and parameters on their way between machines, and the update.
  public var exchange = 0.0
  /// Bytes that a rank receives: batch norm's sums, and the loss.
  public var sumBytes = 0.0
  /// Bytes that a rank receives from other machines: gradients and parameters. Ranks of one machine share them.
  public var gradientBytes = 0.0
  /// All-reduces per step.
  public var messages = 0.0

  static let parts: [WritableKeyPath<StepBreakdown, Double> & Sendable] = [
    \.compute, \.waiting, \.allReduce, \.exchange, \.sumBytes, \.gradientBytes, \.messages,
  ]

  public var seconds: Double { compute + waiting + allReduce + exchange }

  /// The mean of all ranks' breakdowns; every rank calls it.
  func mean(_ communicator: any Communicator) throws -> StepBreakdown {
    let texts = try communicator.allGather(Self.parts.map { "\(self[keyPath: $0])" }.joined(separator: " "))
    let values = texts.map { $0.split(separator: " ").map { Double($0) ?? 0 } }
    var mean = StepBreakdown()
    for (index, part) in Self.parts.enumerated() {
      mean[keyPath: part] = values.reduce(0) { $0 + $1[index] } / Double(values.count)
    }
    return mean
  }
}

/// Breaks steps down.
///
/// Sendable: every worker adds to its own times; what passes between ranks is worker 0's; both are read between steps.
final class BreakdownObserver: StepObserver, @unchecked Sendable {
  /// One worker's seconds.
  private struct Times {
    var compute = 0.0
    var meetings = 0.0
    var waiting = 0.0
    var update = 0.0
  }

  private let communicator: MeteredCommunicator
  private let clock = ContinuousClock()
  private var times: [Times]
  private var last: [ContinuousClock.Instant]
  private var sums = Traffic()
  private var gradients = Traffic()
  private var steps = 0

  init(_ communicator: MeteredCommunicator, workers: Int) {
    self.communicator = communicator
    times = Array(repeating: Times(), count: workers)
    last = Array(repeating: clock.now, count: workers)
  }

  /// Begins a step.
  func begin() {
    steps += 1
    for worker in last.indices { last[worker] = clock.now }
  }

  func finished(_ part: StepPart, worker: Int) {
    let now = clock.now
    let seconds = (now - last.withUnsafeBufferPointer { $0[worker] }) / .seconds(1)
    let path: WritableKeyPath<Times, Double> =
      switch part {
      case .reading, .preparation, .forward, .again, .backward, .conversion, .addition: \.compute
      case .meeting: \.meetings
      case .waiting: \.waiting
      case .update: \.update
      }
    times.withUnsafeMutableBufferPointer { $0[worker][keyPath: path] += seconds }
    if worker == 0 {
      switch part {
      case .meeting: sums += communicator.takeTraffic()
      case .update: gradients += communicator.takeTraffic()
      default: break
      }
    }
    last.withUnsafeMutableBufferPointer { $0[worker] = now }
  }

  /// This rank's mean step.
  var breakdown: StepBreakdown {
    func mean(_ path: KeyPath<Times, Double>) -> Double {
      times.reduce(0) { $0 + $1[keyPath: path] } / Double(times.count * max(steps, 1))
    }
    func perStep(_ total: Double) -> Double { total / Double(max(steps, 1)) }
    var result = StepBreakdown()
    result.compute = mean(\.compute)
    result.allReduce = perStep(sums.transferSeconds)
    // All workers of a rank wait while worker 0 talks to other ranks.
    result.waiting =
      mean(\.waiting) + max(0, mean(\.meetings) - result.allReduce) + perStep(gradients.waitingSeconds)
    result.exchange = max(0, mean(\.update) - perStep(gradients.waitingSeconds))
    result.sumBytes = perStep(Double(sums.bytes))
    result.gradientBytes = perStep(Double(gradients.bytes))
    result.messages = perStep(Double(sums.messages))
    return result
  }
}
