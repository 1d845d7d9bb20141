import Layers
import Tensors

extension Liveness {
  /// Tells every operation in which forms it finds and leaves activations and gradients.
  ///
  /// What another segment has made is found where it is kept, and so is, on the way back, whatever is kept; what a segment
  /// makes is found in the slice's own array, unless all that read it there take 16-bit numbers.
  func wireForms(_ precision: Precision) {
    for (number, operations) in segments.enumerated() {
      for operation in operations {
        let taken = precision == .bfloat16 ? operation.forms(forms(of: operation, in: number)) : nil
        operation.wiring.forms = taken ?? StorageForms(inputCount: operation.inputs.count)
      }
      for operation in operations where precision == .bfloat16 {
        passInHalves(operation.output, of: operation, in: number)
        passGradientInHalves(operation.output, of: operation, in: number)
      }
    }
  }

  /// Lets a segment's operations pass a value on as 16-bit numbers alone, if it suits all of them. Where other segments read
  /// it, it is found where it is kept in any case.
  private func passInHalves(_ value: Value, of producer: any Operation, in segment: Int) {
    let readers = family(root(value.number)).flatMap(readers).filter { $0.segment == segment }.map(\.operation)
    func reads(_ operation: any Operation) -> [Int] {
      operation.inputs.indices.filter { root(operation.inputs[$0].number) == value.number }
    }
    guard producer.leavesHalves, root(value.number) == value.number,
      readers.allSatisfy({ reader in reads(reader).allSatisfy { reader.takesHalves(input: $0) } })
    else { return }
    (producer.wiring.forms.output, producer.wiring.forms.backwardOutput) = (.halves, .halves)
    producer.wiring.forms.rounds = true
    for reader in readers {
      for input in reads(reader) {
        (reader.wiring.forms.inputs[input], reader.wiring.forms.backwardInputs[input]) = (.halves, .halves)
      }
    }
  }

  /// The same for its gradient, if one operation alone makes that.
  private func passGradientInHalves(_ value: Value, of producer: any Operation, in segment: Int) {
    let readers = readers(value)
    guard readers.count == 1, readers[0].segment == segment, producer.takesGradientInHalves,
      let input = readers[0].operation.inputs.firstIndex(of: value), readers[0].operation.leavesGradientInHalves
    else { return }
    producer.wiring.forms.outputGradient = .halves
    readers[0].operation.wiring.forms.inputGradients[input] = .halves
  }

  /// Whether an operation's forward pass reads a kept value, given by its root, as Floats.
  func takesFloats(_ operation: any Operation, of value: Value) -> Bool {
    zip(operation.inputs, operation.forms.inputs).contains { root($0.number) == value.number && $1 == .floats }
  }

  /// Whether its backward pass does.
  func takesFloatsBackward(_ operation: any Operation, of value: Value) -> Bool {
    let readsInput = operation.inputs.indices.contains { index in
      root(operation.inputs[index].number) == value.number && operation.backwardReads(input: index)
        && operation.forms.backwardInputs[index] == .floats
    }
    let readsOutput = operation.backwardReadsOutput && root(operation.output.number) == value.number
    return readsInput || (readsOutput && operation.forms.backwardOutput == .floats)
  }

  private func forms(of operation: any Operation, in segment: Int) -> StorageForms {
    var forms = StorageForms(inputCount: operation.inputs.count)
    for (index, value) in operation.inputs.enumerated() {
      if isInHalves(value) {
        let isMadeHere = self.segment(of: original(value)) == segment
        forms.inputs[index] = !isMadeHere ? .halves : isReadOnly(value, by: operation) ? .both : .floats
        forms.backwardInputs[index] = refreshed.contains(original(value).number) ? .floats : .halves
      }
      let isLeft = operation.wiring.needsInputGradient[index] && self.segment(of: value) < segment
      let isComplete = readers(value).filter { $0.segment >= segment }.count == 1
      if isLeft && isComplete { forms.inputGradients[index] = .halves }
    }
    let output = operation.output
    if isInHalves(output), original(output) == output {
      forms.output = .both
      forms.backwardOutput = refreshed.contains(output.number) ? .floats : .halves
    }
    if isRead(output), readers(output).allSatisfy({ $0.segment > segment }) { forms.outputGradient = .halves }
    return forms
  }

  /// The value whose memory holds this one.
  private func original(_ value: Value) -> Value {
    family(root(value.number)).first { $0.number == root(value.number) }!
  }

  /// Whether 16-bit numbers are kept of a value: the batch is kept as it comes.
  private func isInHalves(_ value: Value) -> Bool { isKept(value) && original(value) != input && isRead(value) }

  private func readers(_ value: Value) -> [(segment: Int, operation: any Operation)] { consumers[value.number] ?? [] }

  /// Whether no other operation reads a value, but by the name that this one gives it.
  private func isReadOnly(_ value: Value, by operation: any Operation) -> Bool {
    family(root(value.number)).allSatisfy { member in
      member == operation.output || readers(member).allSatisfy { $0.operation === operation }
    }
  }
}
