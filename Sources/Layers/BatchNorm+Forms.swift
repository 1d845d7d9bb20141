/// Which 16-bit numbers batch norm's passes take in bf16 training.

extension BatchNormMoments {
  /// x is rounded and kept on the way forward, if it has not come so, and found on the way back, as is the gradient of the
  /// other half.
  func forms(_ offered: StorageForms) -> StorageForms? {
    let takes =
      offered.inputs[0] == .both && offered.backwardInputs[0] == .halves && offered.outputGradient == .halves
    guard takes else { return nil }
    var forms = offered
    forms.rounds = true
    return forms
  }

  func takesHalves(input: Int) -> Bool { forms.rounds }
  var leavesGradientInHalves: Bool { forms.rounds }
}

extension BatchNormTransform {
  /// x is found; y is rounded, and kept if others need it; its gradient comes as Floats, to be rounded, unless its only
  /// reader leaves 16-bit numbers.
  func forms(_ offered: StorageForms) -> StorageForms? {
    guard statistics != .frozen, offered.inputs[0] == .halves, offered.backwardInputs[0] == .halves else { return nil }
    var forms = offered
    if forms.inputs.last == .both { forms.inputs[1] = .floats }
    forms.outputGradient = .floats
    (forms.rounds, forms.roundsOutputGradient) = (true, true)
    return forms
  }

  /// The residual, beside x.
  func takesHalves(input: Int) -> Bool { forms.rounds && input == 1 }
  var leavesHalves: Bool { forms.rounds }
  var takesGradientInHalves: Bool { forms.rounds }
}
