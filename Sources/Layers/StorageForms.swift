import Kernels

/// In which forms an operation finds and leaves activations and gradients of them.
///
/// They are Floats. In bf16 training an operation may also take numbers where they are kept, and round and keep what it
/// writes, in the passes that it makes anyway; for the others that is done around them.
package struct StorageForms: Sendable {
  package enum Form: Sendable {
    /// In the slice's own array.
    case floats
    /// As 16-bit numbers, where all samples' are kept, or if they are not, in the slice's own array.
    case halves
    /// To be rounded, in the slice's own array, and kept.
    case both
  }

  /// By input: what `forward` reads, what `backward` reads, and the gradient that it writes.
  package var inputs: [Form]
  package var backwardInputs: [Form]
  package var inputGradients: [Form]
  /// What `forward` writes, what `backward` reads of it, and the gradient that it reads.
  package var output = Form.floats
  package var backwardOutput = Form.floats
  package var outputGradient = Form.floats
  /// Whether the operation rounds its output, and whether it rounds its output's gradient where it reads that.
  package var rounds = false
  package var roundsOutputGradient = false

  package init(inputCount: Int) {
    inputs = .init(repeating: .floats, count: inputCount)
    (backwardInputs, inputGradients) = (inputs, inputs)
  }
}

extension Slice {
  /// The slice's part of an activation, in a form.
  package func stored(_ value: Value, _ form: StorageForms.Form) -> Stored {
    Stored(form, places.values[value.number], places.keptValues[value.number], localStart)
  }

  /// The slice's part of the loss's gradient by an activation, in a form.
  package func storedGradient(_ value: Value, _ form: StorageForms.Form) -> Stored {
    Stored(form, places.gradients[value.number], places.keptGradients[value.number], localStart)
  }

  /// Where an operation writes the gradient of an input, in the form that it leaves; nil if nobody wants it.
  package func storedInputGradient(_ operation: some Operation, _ index: Int) -> Stored? {
    let form = operation.forms.inputGradients[index]
    guard operation.wiring.needsInputGradient[index] else { return nil }
    if form == .floats { return inputGradient(operation, index).map { Stored($0) } }
    return storedGradient(operation.inputs[index], form)
  }
}

extension Stored {
  fileprivate init(
    _ form: StorageForms.Form, _ own: ActivationPlaces.Place<Float>, _ kept: ActivationPlaces.Place<UInt16>,
    _ sample: Int
  ) {
    switch form {
    case .floats: self.init(own.address(sample))
    case .both: self.init(own.address(sample), halves: kept.address(sample))
    case .halves where kept.start != nil: self.init(nil, halves: kept.address(sample))
    case .halves:
      self.init(nil, halves: UnsafeMutableRawPointer(own.address(sample)).assumingMemoryBound(to: UInt16.self))
    }
  }
}
