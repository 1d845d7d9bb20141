import Kernels
import Layers
import Tensors

/// The activations that the slices of a segment read, on the way forward or back, where all samples' have been kept; they
/// have left the cache since.
///
/// A class, because workers pass it on in every step: one reference to count, not one per array.
package final class KeptInputs: Sendable {
  package let values: [Value]
  private let precision: Precision

  package init(_ values: [Value], _ precision: Precision) { (self.values, self.precision) = (values, precision) }

  /// A segment's, but the batch: the first convolution reads that as it comes.
  static func inputs(
    of segment: Int, _ liveness: Liveness, _ precision: Precision
  ) -> (forward: KeptInputs, backward: KeptInputs) {
    func others(_ values: [Value]) -> KeptInputs { KeptInputs(values.filter { $0 != liveness.input }, precision) }
    let (forward, backward) = liveness.keptInputs(of: segment)
    return (others(forward), others(backward))
  }

  /// Has the kernels that compute a slice bring in what the next one reads.
  package func readAhead(of slices: [Slice], behind index: Int) {
    guard slices.count > 1 else { return }
    let ahead = slices[index].kernels.ahead
    ahead.forget()
    guard index + 1 < slices.count else { return }
    let next = slices[index + 1]
    for value in values {
      let count = next.count * value.layout.sampleStride
      switch precision {
      case .float32: ahead.add(next[value], bytes: count * MemoryLayout<Float>.size)
      case .bfloat16: ahead.add(next.kept(value), bytes: count * MemoryLayout<UInt16>.size)
      }
    }
  }
}
