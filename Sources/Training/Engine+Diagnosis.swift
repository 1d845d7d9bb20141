import Collectives
import Kernels
import Layers
import Tensors

extension Engine {
  /// Explains a loss that is not finite: computes the forward pass again and looks for the first layer at fault.
  ///
  /// All ranks call it together, and get the same answer.
  func nonFiniteLoss(_ result: BatchResult) throws -> SharedError {
    let operations = plan.segments.flatMap(\.operations)
    let first = Locked(operations.count)
    try team.run { [self] index in
      try forward(workers[index]) { [self] operation, slice in
        let count = operation.output.layout.sampleStride * slice.count
        guard operation !== plan.network.loss, Elementwise.hasNonFinite(slice[operation.output], count: count),
          let number = operations.firstIndex(where: { $0 === operation })
        else { return }
        first.withLock { $0 = min($0, number) }
      }
    }
    let found = try communicator.allGather("\(first.withLock { $0 })").compactMap { Int($0) }.min() ?? operations.count
    let parameter = plan.network.parameters.first {
      Elementwise.hasNonFinite(parameters.start + $0.offset, count: $0.layout.count)
    }
    let place =
      if let parameter {
        "parameter \(parameter.name) is not finite"
      } else if found < operations.count {
        "the first layer with such an output is \(operations[found].name) (\(operations[found].kind))"
      } else {
        "no layer's output is, only the loss itself"
      }
    return SharedError(
      "the loss is \(result.loss) in step \(step + 1): \(place). "
        + "A lower --learning-rate, or --warmup-epochs, usually helps; nothing of this step was saved")
  }
}
