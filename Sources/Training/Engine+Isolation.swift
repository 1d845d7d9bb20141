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
  /// The seconds that each operation's kernels take by themselves for all slices of a worker, and so those of the
  /// additions of gradients and of the update: once more, right after they have done the same.
  ///
  /// Overwrites activations and gradients; the parameters and the optimizer's state stay what they are.
  package func isolatedTimes(_ batch: Batch, _ isolation: Isolation) throws -> [StepProfile.Record] {
    let parametersBefore = Array(parameters.current)
    let velocities = try exchange.gatheredVelocities()
    // The others' updates, too, change what has just been noted.
    try communicator.machineBarrier()
    defer {
      parameters.change { $0.update(from: parametersBefore, count: parametersBefore.count) }
      exchange.takeVelocities(velocities.start)
    }
    let count = plan.segments.reduce(0) { $0 + $1.operations.count }
    let records = Locked([StepProfile.Record](repeating: .init(operations: count), count: workers.count))
    try run(batch, .training) { [self] worker in
      var record = StepProfile.Record(operations: count)
      var number = 0
      for segment in plan.segments {
        let slices = worker.route.segments[segment.number].slices.filter { $0.count > 0 }
        placeGradients(of: segment, worker)
        for operation in segment.operations {
          let forward = isolation.seconds(slices) { operation.forward($0) }
          record.forward[number] = forward
          if segment.recomputed.contains(where: { $0 === operation }) { record.again[number] = forward }
          if segment.differentiated.contains(where: { $0.operation === operation }) {
            record.backward[number] = isolation.seconds(slices) { operation.backward($0) }
          }
          number += 1
        }
        for (input, value) in segment.differentiated.flatMap(\.additions) {
          record.additions += isolation.seconds(slices) { slice in
            Elementwise.add(
              worker.gradientScratch[input], to: slice.gradient(value), count: slice.count * value.layout.sampleStride)
          }
        }
        if !segment.parameters.isEmpty {
          record.update += isolation.seconds(Array(slices.prefix(1))) { _ in
            exchange.apply(
              segment: segment.number, optimizer, learningRate: 0, batches: batchesTracked + 1, worker)
          }
        }
      }
      let done = record
      records.withLock { $0[worker.index] = done }
    }
    return records.withLock { $0 }
  }
}

extension Isolation {
  /// The seconds of a kernel's second turn.
  fileprivate func seconds(_ slices: [Slice], _ kernel: (Slice) -> Void) -> Double {
    let clock = ContinuousClock()
    func secondTurn(_ slices: some Sequence<Slice>) -> Double {
      for slice in slices { kernel(slice) }
      let start = clock.now
      for slice in slices { kernel(slice) }
      return (clock.now - start) / .seconds(1)
    }
    return switch self {
    case .streamed: secondTurn(slices)
    case .warm: slices.reduce(0) { $0 + secondTurn(CollectionOfOne($1)) }
    }
  }
}
