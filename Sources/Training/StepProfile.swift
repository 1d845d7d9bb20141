import Collectives
import Layers
import Tensors

/// Where a step's time goes: seconds per part.
///
/// Sendable: every worker writes its own record, which is read between steps.
package final class StepProfile: StepObserver, @unchecked Sendable {
  /// One worker's seconds.
  package struct Record: Sendable {
    /// By the operations' numbers in the plan.
    package var forward: [Double]
    package var again: [Double]
    package var backward: [Double]
    package var reading = 0.0
    package var preparation = 0.0
    package var conversions = 0.0
    package var meetings = 0.0
    package var additions = 0.0
    package var update = 0.0

    init(operations: Int) {
      forward = Array(repeating: 0, count: operations)
      (again, backward) = (forward, forward)
    }

    /// The seconds of the operations' own kernels.
    package var kernels: Double { (forward + again + backward).reduce(0, +) }

    /// The seconds of all that computes.
    package var computation: Double { kernels + additions + update }

    /// Those of one operation.
    package func kernels(of operation: Int) -> Double { forward[operation] + again[operation] + backward[operation] }

    /// The seconds of everything.
    var total: Double { computation + reading + preparation + conversions + meetings }

    static func mean(_ records: some Collection<Record>) -> Record {
      var result = records.first!
      func mean(_ path: WritableKeyPath<Record, Double>) {
        result[keyPath: path] = records.reduce(0) { $0 + $1[keyPath: path] } / Double(records.count)
      }
      for path in [\Record.reading, \.preparation, \.conversions, \.meetings, \.additions, \.update] { mean(path) }
      for index in result.forward.indices {
        mean(\.forward[index])
        mean(\.again[index])
        mean(\.backward[index])
      }
      return result
    }
  }

  package private(set) var records: [Record]
  private let numbers: [ObjectIdentifier: Int]
  private var last: [ContinuousClock.Instant]
  private let clock = ContinuousClock()

  package init(_ plan: Plan, workers: Int) {
    let operations = plan.segments.flatMap(\.operations)
    numbers = Dictionary(uniqueKeysWithValues: operations.enumerated().map { (ObjectIdentifier($1), $0) })
    records = Array(repeating: Record(operations: operations.count), count: workers)
    last = Array(repeating: clock.now, count: workers)
  }

  /// Begins a step.
  package func begin() {
    for worker in last.indices { last[worker] = clock.now }
  }

  package func finished(_ part: StepPart, worker: Int) {
    let now = clock.now
    let seconds = (now - last[worker]) / .seconds(1)
    func number(_ operation: any Operation) -> Int { numbers[ObjectIdentifier(operation)]! }
    withRecord(worker) { record in
      switch part {
      case .reading: record.reading += seconds
      case .preparation: record.preparation += seconds
      case .forward(let operation): record.forward[number(operation)] += seconds
      case .again(let operation): record.again[number(operation)] += seconds
      case .backward(let operation): record.backward[number(operation)] += seconds
      case .conversion: record.conversions += seconds
      case .meeting, .waiting: record.meetings += seconds
      case .addition: record.additions += seconds
      case .update: record.update += seconds
      }
    }
    last.withUnsafeMutableBufferPointer { $0[worker] = clock.now }
  }

  private func withRecord(_ worker: Int, _ body: (inout Record) -> Void) {
    records.withUnsafeMutableBufferPointer { body(&$0[worker]) }
  }
}
