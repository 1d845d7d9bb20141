import Kernels
import Layers
import Tensors

/// What bf16 training does around a segment's operations: every activation and every gradient of one that an operation
/// reads is a bf16 number.
///
/// Operations compute in fp32 on one slice. What outlives the slice is kept as 16-bit numbers; it is expanded when a slice
/// enters a segment, while the slice's own arrays stay in the cache. Each array is rounded where it is complete: an
/// activation behind the operation that made it, a gradient when all operations that add to it have. All of it is
/// elementwise, so that bits depend on no split.
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
  /// By the values' numbers, whether the segment itself writes the gradient of an operation's output.
  private let writesGradient: [Bool]

  private enum Treatment {
    /// It has no memory of its own, or none that is read.
    case none
    case round
    case keep
  }

  init(_ liveness: Liveness, segment: Int) {
    input = liveness.input
    (inputs, backwardInputs) = liveness.keptInputs(of: segment)
    (foundGradients, leftGradients) = liveness.keptGradients(of: segment)
    var treatments = [Treatment](repeating: .none, count: (liveness.values.map(\.number).max() ?? 0) + 1)
    var writesGradient = treatments.map { _ in false }
    for value in liveness.segments[segment].map(\.output) where liveness.isRead(value) {
      if liveness.root(value.number) == value.number {
        treatments[value.number] = liveness.isKept(value) ? .keep : .round
      }
      writesGradient[value.number] = liveness.gradientIsWrittenAtHome(value)
    }
    (self.treatments, self.writesGradient) = (treatments, writesGradient)
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
    guard writesGradient[value.number] else { return }
    BFloat16.round(slice.gradient(value), to: slice.gradient(value), count: count(value, slice))
  }

  /// Behind the segment's backward pass.
  func keepGradients(_ slice: Slice) {
    for value in leftGradients {
      BFloat16.keep(slice.gradient(value), in: slice.keptGradient(value), count: count(value, slice))
    }
  }
}
