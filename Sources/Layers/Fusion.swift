import Kernels

/// A normalization that may also add a residual, its second input, and rectify, in the same pass.
protocol RectifyingOperation: Operation {
  var rectifies: Bool { get set }
}

extension RectifyingOperation {
  /// What it does beside its own task, for its kind.
  var furtherTasks: String { (inputs.count > 1 ? " + residual" : "") + (rectifies ? " + ReLU" : "") }
}

/// Joins operations that one pass over memory can do together.
enum Fusion {
  /// Lets normalizations do the rectification, or the sum of a residual block, that follows them.
  static func fused(_ operations: [any Operation]) -> [any Operation] {
    var operations = operations
    var consumers: [Int: Int] = [:]
    for operation in operations {
      for input in operation.inputs { consumers[input.number, default: 0] += 1 }
    }
    /// The normalization whose output nothing but the operation reads, if it has room for another task.
    func normalization(before operation: any Operation, input: Int) -> Int? {
      let value = operation.inputs[input]
      guard consumers[value.number] == 1 else { return nil }
      return operations.firstIndex {
        $0.output == value && ($0 as? any RectifyingOperation).map { !$0.rectifies && $0.inputs.count == 1 } == true
      }
    }
    var index = 0
    while index < operations.count {
      if let relu = operations[index] as? ElementwiseOperation, relu.function == .relu,
        let found = normalization(before: relu, input: 0), let norm = operations[found] as? any RectifyingOperation
      {
        norm.rectifies = true
        norm.wiring.output = relu.output
        operations.remove(at: index)
      } else if let sum = operations[index] as? SumOperation,
        let input = [0, 1].first(where: { normalization(before: sum, input: $0) != nil }),
        let found = normalization(before: sum, input: input), let norm = operations[found] as? any RectifyingOperation
      {
        norm.wiring.addInput(sum.inputs[1 - input])
        norm.rectifies = sum.rectifies
        norm.wiring.output = sum.output
        // The sum's place: the other path must be computed by then.
        operations[index] = norm
        operations.remove(at: found)
      } else {
        index += 1
      }
    }
    return operations
  }
}
