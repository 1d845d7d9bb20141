import CKernels
import Tensors

/// What the calling thread's core can do at most.
package enum PeakRate {
  /// Multiplications and additions per second in registers, the best of several short runs.
  package static func floatOperations() -> Double {
    let block = InstructionSet.channelBlock
    let count = 200_000
    let clock = ContinuousClock()
    var best = Duration.seconds(1)
    var sum: Float = 0
    for _ in 0..<50 {
      let start = clock.now
      sum += fused_multiply_adds(Int32(block), count)
      best = min(best, clock.now - start)
    }
    invariant(sum.isFinite, "the peak's sums overflow")
    return Double(2 * 12 * block * count) / (best / .seconds(1))
  }
}
