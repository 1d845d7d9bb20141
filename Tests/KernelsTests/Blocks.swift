import Kernels
import Testing

/// The blocks of channels whose kernels this processor can run.
enum Blocks {
  static let all = InstructionSet.hasAVX512 ? [8, 16] : [8]
  static let largest = all.last!
}

@Suite struct BlocksTests {
  /// Where it is skipped, the other suites have tested less.
  @Test(
    .enabled(if: InstructionSet.hasAVX512, "the processor has no AVX-512, so that blocks of 16 channels go untested"))
  func blocksOf16() {
    #expect(Blocks.all == [8, 16] && InstructionSet.channelBlock == Blocks.largest)
  }
}
