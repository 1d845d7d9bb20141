import CKernels
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

  /// Writes samples, normalized, one behind the other.
  ///
  /// - Parameters:
  ///   - destination: [indices, C, H, W].
  ///   - placement: how the sample of an index looks.
  package func copy(
    _ indices: ArraySlice<Int32>, to destination: UnsafeMutablePointer<Float>, placement: (_ index: Int) -> Placement
  ) {
    switch pixels {
    case .bytes(let values, let normalization):
      values.withUnsafeBufferPointer { source in
        forEachPlane(source.baseAddress!, indices, to: destination, placement) { channel, source, placement, plane in
          let (scale, offset) = normalization.byteLine(channel)
          place(source, placement, to: plane, zero: offset) { from, to, count in
            bytes_to_floats(from, to, count, scale, offset)
          }
        }
      }
    case .floats(let values):
      values.withUnsafeBufferPointer { source in
        forEachPlane(source.baseAddress!, indices, to: destination, placement) { _, source, placement, plane in
          place(source, placement, to: plane, zero: 0) { from, to, count in
            to.update(from: from, count: count)
          }
        }
      }
    }
  }

  /// Writes their classes, [indices].
  package func copyLabels(_ indices: ArraySlice<Int32>, to destination: UnsafeMutablePointer<Int32>) {
    for (row, index) in indices.enumerated() { destination[row] = labels[Int(index)] }
  }

  /// Goes through the samples' channels: where each begins among the stored values, and where it is written.
  @inline(__always)
  private func forEachPlane<Element>(
    _ stored: UnsafePointer<Element>, _ indices: ArraySlice<Int32>, to destination: UnsafeMutablePointer<Float>,
    _ placement: (Int) -> Placement,
    _ body: (
      _ channel: Int, _ source: UnsafePointer<Element>, _ placement: Placement, _ plane: UnsafeMutablePointer<Float>
    ) -> Void
  ) {
    func start(_ index: Int) -> UnsafePointer<Element> {
      invariant(index >= 0 && index < count, "sample \(index) is not one of \(count)")
      return stored + index % storedCount * shape.count
    }
    var plane = destination
    for number in indices.indices {
      // Shuffled samples are all over the memory: the next ones come into the cache while this one is copied.
      let next = number + Self.samplesAhead
      if next < indices.endIndex {
        prefetch(start(Int(indices[next])), min(shape.count * MemoryLayout<Element>.size, Self.bytesAhead))
      }
      let index = Int(indices[number])
      let (start, placement) = (start(index), placement(index))
      for channel in 0..<shape.channels {
        body(channel, start + channel * shape.positions, placement, plane)
        plane += shape.positions
      }
    }
  }

  private static var samplesAhead: Int { 2 }
  /// What follows in a large sample, processors see coming.
  private static var bytesAhead: Int { 4 << 10 }

  /// Writes one channel, [H, W], of which `copy` writes a run; `zero` is what a padding pixel becomes.
  @inline(__always)
  private func place<Element>(
    _ source: UnsafePointer<Element>, _ placement: Placement, to destination: UnsafeMutablePointer<Float>,
    zero: Float, _ copy: (_ from: UnsafePointer<Element>, _ to: UnsafeMutablePointer<Float>, _ count: Int) -> Void
  ) {
    if placement == .asStored { return copy(source, destination, shape.positions) }
    let (height, width) = (shape.height, shape.width)
    let inside = placement.columnsInside(width)
    for y in 0..<height {
      let row = destination + y * width
      let sourceY = y + placement.rowShift
      if sourceY < 0 || sourceY >= height {
        row.update(repeating: zero, count: width)
        continue
      }
      row.update(repeating: zero, count: inside.lowerBound)
      let from = source + sourceY * width + inside.lowerBound + placement.columnShift
      copy(from, row + inside.lowerBound, inside.count)
      (row + inside.upperBound).update(repeating: zero, count: width - inside.upperBound)
      if placement.isFlipped {
        var pixels = UnsafeMutableBufferPointer(start: row, count: width)
        pixels.reverse()
      }
    }
  }
}
