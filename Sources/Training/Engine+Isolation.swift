import Collectives
import Kernels
import Layers
import Tensors

/// What a kernel that is timed by itself finds in the cache.
package enum Isolation: Sendable {
  /// What it finds in a step without the others: it goes through the worker's slices, and what lies in memory there lies in
  /// memory here.
  case streamed
  /// Everything: it computes the same slice again and again.
  case warm
}

extension Engine {
  /// The median seconds that each operation's kernels take by themselves for all slices of a worker, and so those of the
  /// additions of gradients and of the update.
  ///
  /// Overwrites activations and gradients; the parameters and the optimizer's state stay what they are.
  package func isolatedTimes(
    _ batch: Batch, _ isolation: Isolation, repetitions: Int
  ) throws -> [StepProfile.Record] {
    load(batch, .training)
    let parametersBefore = Array(parameters.elements)
    let velocities = try exchange.gatheredVelocities(communicator)
    defer {
      parameters.start.update(from: parametersBefore, count: parametersBefore.count)
      exchange.takeVelocities(velocities.start)
    }
    let count = plan.segments.reduce(0) { $0 + $1.operations.count }
    let records = Locked([StepProfile.Record](repeating: .init(operations: count), count: workers.count))
    try team.run { [self] index in
      let worker = workers[index]
      var record = StepProfile.Record(operations: count)
      var number = 0
      for (segmentNumber, segment) in plan.segments.enumerated() {
        let slices = worker.route.segments[segmentNumber].slices.filter { $0.count > 0 }
        placeGradients(ofSegment: segmentNumber, worker)
        for operation in segment.operations {
          let forward = seconds(isolation, slices, repetitions) { operation.forward($0) }
          record.forward[number] = forward
          if segment.recomputed.contains(where: { $0 === operation }) { record.again[number] = forward }
          if segment.differentiated.contains(where: { $0.operation === operation }) {
            record.backward[number] = seconds(isolation, slices, repetitions) { operation.backward($0) }
          }
          number += 1
        }
        for (input, value) in segment.differentiated.flatMap(\.additions) {
          record.additions += seconds(isolation, slices, repetitions) { slice in
            Elementwise.add(
              worker.gradientScratch[input], to: slice.gradient(value), count: slice.count * value.layout.sampleStride)
          }
        }
        if !segment.parameters.isEmpty {
          record.update += seconds(isolation, Array(slices.prefix(1)), repetitions) { _ in
            exchange.apply(
              segment: segmentNumber, parameters.start, optimizer, learningRate: 0, batches: batchesTracked + 1, worker)
          }
        }
      }
      let done = record
      records.withLock { $0[index] = done }
    }
    return records.withLock { $0 }
  }

  private func seconds(
    _ isolation: Isolation, _ slices: [Slice], _ repetitions: Int, _ body: (Slice) -> Void
  ) -> Double {
    let clock = ContinuousClock()
    func median(_ body: () -> Void) -> Double {
      let seconds = (0..<repetitions).map { _ in
        let start = clock.now
        body()
        return (clock.now - start) / .seconds(1)
      }
      return seconds.sorted()[repetitions / 2]
    }
    return switch isolation {
    case .streamed: median { for slice in slices { body(slice) } }
    case .warm: slices.reduce(0) { sum, slice in sum + median { body(slice) } }
    }
  }
}
