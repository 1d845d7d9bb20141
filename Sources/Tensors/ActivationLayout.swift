/// How a batch of samples lies in memory: [N, C/block, H*W, block], the samples outermost.
///
/// A block of 1 is plain NCHW. Larger blocks are oneDNN's `nChw8c` and `nChw16c`: channels are padded with zeros to whole
/// blocks, so that one vector register holds one pixel's block of channels. A feature vector is an image of one pixel, so
/// the same kernels serve images and vectors. Samples being outermost, a run of samples is always one contiguous run.
public struct ActivationLayout: Hashable, Sendable {
  public let shape: SampleShape
  public let block: Int

  public init(shape: SampleShape, block: Int) {
    self.shape = shape
    self.block = block
  }

  /// The number of channel blocks, the last one possibly padded.
  public var channelBlocks: Int { (shape.channels + block - 1) / block }

  /// Channels including the padding.
  public var paddedChannels: Int { channelBlocks * block }

  /// H * W.
  public var positions: Int { shape.positions }

  /// The distance between samples, in elements.
  public var sampleStride: Int { paddedChannels * positions }
}
