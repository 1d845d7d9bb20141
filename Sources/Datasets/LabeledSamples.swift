import Tensors

/// One split of a data set: samples and their labels, in memory.
public struct LabeledSamples: Sendable {
  /// What the samples are made of, [stored, C, H, W].
  package enum Pixels: Sendable {
    /// Bytes, normalized when they are copied out.
    case bytes([UInt8], Normalization)
    /// Floats, used as they stand.
    case floats([Float])

    var count: Int {
      switch self {
      case .bytes(let values, _): values.count
      case .floats(let values): values.count
      }
    }
  }

  /// The shape of one sample.
  public let shape: SampleShape
  /// One class per sample, from 0.
  public let labels: [Int32]
  package let pixels: Pixels
  /// Sample `index` is stored at `index % storedCount`: noise needs no memory of its own for every sample.
  private let storedCount: Int

  /// The number of samples.
  public var count: Int { labels.count }

  /// Samples of bytes, normalized.
  ///
  /// - Parameters:
  ///   - bytes: [N, C, H, W].
  ///   - labels: [N].
  public init(bytes: [UInt8], labels: [Int32], shape: SampleShape, normalization: Normalization) {
    invariant(
      normalization.mean.count == shape.channels,
      "samples \(shape) cannot be normalized with \(normalization.mean.count) means")
    self.init(pixels: .bytes(bytes, normalization), labels: labels, shape: shape, storedCount: labels.count)
  }

  /// Samples of floats, used as they stand.
  ///
  /// - Parameters:
  ///   - floats: [N, C, H, W].
  ///   - labels: [N].
  public init(floats: [Float], labels: [Int32], shape: SampleShape) {
    self.init(pixels: .floats(floats), labels: labels, shape: shape, storedCount: labels.count)
  }

  /// Samples of which only the first `storedCount` have pixels of their own; sample i shows those of i % storedCount.
  init(pixels: Pixels, labels: [Int32], shape: SampleShape, storedCount: Int) {
    invariant(
      pixels.count == storedCount * shape.count,
      "\(storedCount) samples \(shape) cannot be made of \(pixels.count) values")
    invariant(labels.count <= Int32.max, "\(labels.count) samples are more than 32 bits can number")
    self.pixels = pixels
    self.labels = labels
    self.shape = shape
    self.storedCount = storedCount
  }

  /// The first `count` samples, or all if there are no more.
  public func prefix(_ count: Int) -> LabeledSamples {
    LabeledSamples(
      pixels: pixels, labels: Array(labels.prefix(count)), shape: shape, storedCount: storedCount)
  }

  /// Writes sample `index`, normalized, to `destination`: C*H*W Floats, [C, H, W].
  package func copy(
    _ index: Int, placement: Placement = .asStored, to destination: UnsafeMutablePointer<Float>
  ) {
    invariant(index >= 0 && index < count, "sample \(index) is not one of \(count)")
    let start = index % storedCount * shape.count
    switch pixels {
    case .bytes(let values, let normalization):
      values.withUnsafeBufferPointer { source in
        for channel in 0..<shape.channels {
          let plane = channel * shape.positions
          let (scale, offset) = normalization.byteLine(channel)
          place(source.baseAddress! + start + plane, placement, to: destination + plane, zero: offset) {
            Float($0) * scale + offset
          }
        }
      }
    case .floats(let values):
      values.withUnsafeBufferPointer { source in
        for channel in 0..<shape.channels {
          let plane = channel * shape.positions
          place(source.baseAddress! + start + plane, placement, to: destination + plane, zero: 0) { $0 }
        }
      }
    }
  }

  /// Writes one channel, [H, W]; `zero` is what a padding pixel becomes.
  @inline(__always)
  private func place<Element>(
    _ source: UnsafePointer<Element>, _ placement: Placement, to destination: UnsafeMutablePointer<Float>,
    zero: Float, _ value: (Element) -> Float
  ) {
    if placement == .asStored {
      for i in 0..<shape.positions { destination[i] = value(source[i]) }
      return
    }
    let (height, width) = (shape.height, shape.width)
    let inside = placement.columnsInside(width)
    for y in 0..<height {
      let row = destination + y * width
      let sourceY = y + placement.rowShift
      if sourceY < 0 || sourceY >= height {
        row.update(repeating: zero, count: width)
        continue
      }
      let sourceRow = source + sourceY * width
      row.update(repeating: zero, count: inside.lowerBound)
      for x in inside { row[x] = value(sourceRow[x + placement.columnShift]) }
      (row + inside.upperBound).update(repeating: zero, count: width - inside.upperBound)
      if placement.isFlipped {
        var pixels = UnsafeMutableBufferPointer(start: row, count: width)
        pixels.reverse()
      }
    }
  }
}
