import Collectives
import Layers
import Tensors

/// Where a step's time goes: seconds per part, summed over steps.
///
/// Sendable: every worker writes its own record, which is read between steps.
package final class StepProfile: StepObserver, @unchecked Sendable {
  /// One worker's seconds.
  package struct Record: Sendable {
    /// By the operations' numbers in the plan.
    package var forward: [Double]
    package var again: [Double]
    package var backward: [Double]
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

extension Engine {
  /// The median seconds that each operation's kernels take by themselves, called again and again on the same samples.
  ///
  /// Overwrites activations and gradients; the parameters stay what they are.
  package func isolatedTimes(_ batch: Batch, repetitions: Int) throws -> [StepProfile.Record] {
    load(batch, .training)
    let count = plan.segments.reduce(0) { $0 + $1.operations.count }
    let records = Locked([StepProfile.Record](repeating: .init(operations: count), count: workers.count))
    try team.run { [self] index in
      let worker = workers[index]
      let clock = ContinuousClock()
      func median(_ body: () -> Void) -> Double {
        let seconds = (0..<repetitions).map { _ in
          let start = clock.now
          body()
          return (clock.now - start) / .seconds(1)
        }
        return seconds.sorted()[repetitions / 2]
      }
      var record = StepProfile.Record(operations: count)
      var first = 0
      for (number, segment) in plan.segments.enumerated() {
        let route = worker.route.segments[number]
        placeGradients(ofSegment: number, worker)
        for slice in route.slices where slice.count > 0 {
          segment.conversions?.expandForBackward(slice)
          segment.conversions?.expandInputs(slice)
          for (index, operation) in segment.operations.enumerated() {
            let forward = median { operation.forward(slice) }
            record.forward[first + index] += forward
            if segment.recomputed.contains(where: { $0 === operation }) { record.again[first + index] += forward }
            guard segment.differentiated.contains(where: { $0.operation === operation }) else { continue }
            record.backward[first + index] += median { operation.backward(slice) }
          }
        }
        first += segment.operations.count
      }
      let done = record
      records.withLock { $0[index] = done }
    }
    return records.withLock { $0 }
  }
}
