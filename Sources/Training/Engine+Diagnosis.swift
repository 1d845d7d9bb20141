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
    let input = plan.network.input
    /// The first operation at fault; -1 if its input, the batch, is.
    let first = Locked(operations.count)
    try team.run { [self] index in
      try forward(workers[index]) { [self] operation, slice in
        func isAtFault(_ value: Value, _ form: StorageForms.Form = .floats) -> Bool {
          slice.stored(value, form).hasNonFinite(count: value.layout.sampleStride * slice.count)
        }
        // What goes by another name has been looked at by its own.
        guard plan.network.aliases[operation.output.number] == nil,
          let number = operations.firstIndex(where: { $0 === operation })
        else { return }
        let fault =
          operation.inputs.contains { $0.number == input.number } && isAtFault(input)
          ? -1
          : operation !== plan.network.loss && isAtFault(operation.output, operation.forms.output)
            ? number : operations.count
        first.withLock { $0 = min($0, fault) }
      }
    }
    let found = try communicator.allGather("\(first.withLock { $0 })").compactMap { Int($0) }.min() ?? operations.count
    let parameter = plan.network.parameters.first {
      Elementwise.hasNonFinite(parameters.current.baseAddress! + $0.offset, count: $0.layout.count)
    }
    let layer = found < 0 ? operations.first : found < operations.count ? operations[found] : nil
    let place = layer.map { "the first layer at fault is \($0.name) (\($0.kind))" } ?? "no layer's output is at fault"
    let advice =
      if found < 0 {
        "Samples of the batch hold infinities or NaN: clean the data"
      } else if let parameter {
        "Parameter \(parameter.name) is not finite: start from other values, or lower --learning-rate"
      } else {
        "A lower --learning-rate, or --warmup-epochs, usually helps"
      }
    return SharedError(
      "the loss is \(result.loss.isNaN ? "nan" : "\(result.loss)") in step \(step + 1): \(place). \(advice);"
        + " nothing of this step was saved")
  }
}
