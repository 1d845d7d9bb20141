/// The shape of one sample: an image [C, H, W], or a feature vector, which is an image of one pixel [F, 1, 1].
public struct SampleShape: Hashable, Sendable, CustomStringConvertible {
  public var channels: Int
  public var height: Int
  public var width: Int

  public init(channels: Int, height: Int, width: Int) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  /// A vector of `count` features.
  public static func features(_ count: Int) -> SampleShape {
    SampleShape(channels: count, height: 1, width: 1)
  }

  /// H * W.
  public var positions: Int { height * width }

  /// C * H * W.
  public var count: Int { channels * positions }

  public var description: String {
    positions == 1 ? "[\(channels)]" : "[\(channels), \(height), \(width)]"
  }
}
