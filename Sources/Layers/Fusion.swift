import Kernels

/// A normalization that may also add a residual, its second input, and apply a function, in the same pass.
protocol ActivatingOperation: Operation {
  var activation: Activation? { get set }
}

extension ActivatingOperation {
  /// What it does beside its own task, for its kind.
  var furtherTasks: String {
    (inputs.count > 1 ? " + residual" : "") + (activation.map { " + \($0.name)" } ?? "")
  }
}

/// Joins operations that one pass over memory can do together.
enum Fusion {
  /// Lets normalizations do the activation, or the sum of a residual block, that follows them, and batch norms the max
  /// pooling.
  static func fused(_ operations: [any Operation]) -> [any Operation] {
    var operations = operations
    var consumers: [Int: Int] = [:]
    for operation in operations {
      for input in operation.inputs { consumers[input.number, default: 0] += 1 }
    }
    /// The operation whose output nothing but an input of another reads.
    func source(_ input: Value) -> Int? {
      consumers[input.number] == 1 ? operations.firstIndex { $0.output == input } : nil
    }
    /// The normalization there, if it does no more yet than that.
    func normalization(_ input: Value) -> (any ActivatingOperation)? {
      let norm = source(input).flatMap { operations[$0] as? any ActivatingOperation }
      return norm?.inputs.count == 1 && norm?.activation == nil ? norm : nil
    }
    /// The normalization there, if no pooling has become part of it.
    func unpooled(_ input: Value) -> (any ActivatingOperation)? {
      normalization(input).flatMap { $0 is BatchNormMaxPooling ? nil : $0 }
    }
    var index = 0
    while index < operations.count {
      if let activation = operations[index] as? ElementwiseOperation,
        // Of the functions, only a rectifier may as well come after the maximum.
        let norm = activation.function == .relu
          ? normalization(activation.inputs[0]) : unpooled(activation.inputs[0])
      {
        norm.activation = activation.function
        norm.wiring.output = activation.output
        operations.remove(at: index)
      } else if let sum = operations[index] as? SumOperation,
        let input = [0, 1].first(where: { unpooled(sum.inputs[$0]) != nil }), let norm = unpooled(sum.inputs[input]),
        let found = source(sum.inputs[input])
      {
        norm.wiring.addInput(sum.inputs[1 - input])
        norm.activation = sum.rectifies ? .relu : nil
        norm.wiring.output = sum.output
        // The sum's place: the other path must be computed by then.
        operations[index] = norm
        operations.remove(at: found)
      } else if let pooling = (operations[index] as? MaxPoolingOperation)?.pooling, let found = source(pooling.x),
        let norm = operations[found] as? BatchNormTransform, BatchNormMaxPooling.joins(norm, pooling)
      {
        operations[found] = BatchNormMaxPooling(norm, pooling)
        operations.remove(at: index)
      } else {
        index += 1
      }
    }
    return operations
  }
}
