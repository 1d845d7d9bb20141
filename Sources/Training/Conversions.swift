import Kernels
import Layers
import Tensors

/// What bf16 training does around a segment's operations: every activation and every gradient of one that an operation
/// reads is a bf16 number.
///
/// Operations compute on one slice, most of them on Floats. What outlives the slice is kept as 16-bit numbers; for those it is
/// expanded when a slice enters a segment, while the slice's own arrays stay in the cache. Each array is rounded where it is complete: an
/// activation behind the operation that made it, a gradient when all operations that add to it have. All of it is
/// elementwise, so that bits depend on no split. What operations do of it themselves, as their forms say, is left to them.
///
/// A class, because workers pass it on between any two operations: one reference to count, not one per array.
final class Conversions: Sendable {
  private let input: Value
  private let inputs: [Value]
  private let backwardInputs: [Value]
  private let foundGradients: [Value]
  private let leftGradients: [Value]
  /// By the values' numbers, what becomes of an operation's output.
  private let treatments: [Treatment]
  /// By the values' numbers, whether an operation's output's gradient is still to be rounded when it is complete.
  private let roundsGradient: [Bool]

  private enum Treatment {
    /// It has no memory of its own, or none that is read, or the operation rounds it.
    case none
    case round
    case keep
  }

  init(_ liveness: Liveness, segment: Int) {
    let operations = liveness.segments[segment]
    let recomputed = liveness.recomputed(in: segment), differentiated = liveness.differentiated(in: segment)
    let kept = liveness.keptInputs(of: segment), gradients = liveness.keptGradients(of: segment)
    input = liveness.input
    inputs = kept.forward.filter { value in operations.contains { liveness.takesFloats($0, of: value) } }
    backwardInputs = kept.backward.filter { value in
      recomputed.contains { liveness.takesFloats($0, of: value) }
        || differentiated.contains { liveness.takesFloatsBackward($0, of: value) }
    }
    foundGradients = gradients.found.filter { value in
      !operations.contains { $0.output.number == value.number && $0.forms.outputGradient != .floats }
    }
    leftGradients = gradients.left.filter { value in
      !differentiated.contains { operation in
        zip(operation.inputs, operation.forms.inputGradients).contains { $0.number == value.number && $1 != .floats }
      }
    }
    var treatments = [Treatment](repeating: .none, count: (liveness.values.map(\.number).max() ?? 0) + 1)
    var roundsGradient = treatments.map { _ in false }
    for operation in operations where liveness.isRead(operation.output) {
      let (value, forms) = (operation.output, operation.forms)
      // Its only reader rounds it, and rounds the gradient that it writes.
      let isRoundedByReader = operations.contains { reader in
        zip(reader.inputs, reader.forms.inputs).contains { $0.number == value.number && $1 == .both }
      }
      if isRoundedByReader { continue }
      if !forms.rounds, liveness.root(value.number) == value.number {
        treatments[value.number] = liveness.isKept(value) ? .keep : .round
      }
      roundsGradient[value.number] =
        !forms.roundsOutputGradient && forms.outputGradient == .floats && liveness.gradientIsWrittenAtHome(value)
    }
    (self.treatments, self.roundsGradient) = (treatments, roundsGradient)
  }

  private func count(_ value: Value, _ slice: Slice) -> Int { slice.count * value.layout.sampleStride }

  // MARK: - Activations

  /// Before the segment's forward pass.
  func expandInputs(_ slice: Slice) { for value in inputs { expand(value, slice) } }

  /// Before the segment's backward pass.
  func expandForBackward(_ slice: Slice) {
    for value in backwardInputs { expand(value, slice) }
    for value in foundGradients {
      BFloat16.expand(slice.keptGradient(value), to: slice.gradient(value), count: count(value, slice))
    }
  }

  private func expand(_ value: Value, _ slice: Slice) {
    if value == input {
      BFloat16.round(slice.input, to: slice[value], count: count(value, slice))
    } else {
      BFloat16.expand(slice.kept(value), to: slice[value], count: count(value, slice))
    }
  }

  /// Behind an operation's forward pass.
  func roundOutput(of operation: any Operation, _ slice: Slice) {
    let value = operation.output
    switch treatments[value.number] {
    case .none: break
    case .round: BFloat16.round(slice[value], to: slice[value], count: count(value, slice))
    case .keep: BFloat16.round(slice[value], keeping: slice.kept(value), count: count(value, slice))
    }
  }

  // MARK: - Gradients

  /// Before an operation's backward pass.
  func roundOutputGradient(of operation: any Operation, _ slice: Slice) {
    let value = operation.output
    guard roundsGradient[value.number] else { return }
    BFloat16.round(slice.gradient(value), to: slice.gradient(value), count: count(value, slice))
  }

  /// Behind the segment's backward pass.
  func keepGradients(_ slice: Slice) {
    for value in leftGradients {
      BFloat16.keep(slice.gradient(value), in: slice.keptGradient(value), count: count(value, slice))
    }
  }
}
