import Tensors

/// Random changes to training samples that keep their class.
///
/// As torchvision's `RandomCrop(H, padding: P)` and `RandomHorizontalFlip()`, in that order: a window of the sample's
/// own size out of the sample with P zero pixels (black, before normalization) on each side, then mirrored or not.
public struct Augmentation: Hashable, Sendable {
  /// Zero pixels added to each side before the crop; 0 for no crop.
  public let cropPadding: Int
  /// Whether every other sample, on average, is mirrored left to right.
  public let horizontalFlip: Bool

  /// Samples as they are.
  public static let none = Augmentation(cropPadding: 0, horizontalFlip: false)

  /// Random crops after zero padding, and random flips.
  public init(cropPadding: Int, horizontalFlip: Bool) {
    self.cropPadding = cropPadding
    self.horizontalFlip = horizontalFlip
  }

  /// How sample `index` looks in `epoch`, whoever asks.
  package func placement(seed: UInt64, epoch: Int, index: Int) -> Placement {
    var random = KeyedRandom(seed: seed, .augmentation, epoch, index)
    return Placement(
      rowShift: random.integer(below: 2 * cropPadding + 1) - cropPadding,
      columnShift: random.integer(below: 2 * cropPadding + 1) - cropPadding,
      isFlipped: horizontalFlip && random.integer(below: 2) == 1)
  }
}

/// Where a sample's pixels come from: y[h, w] = x[h + rowShift, w' + columnShift], w' = W-1-w if flipped, else w.
package struct Placement: Hashable, Sendable {
  package let rowShift: Int
  package let columnShift: Int
  package let isFlipped: Bool

  package static let asStored = Placement(rowShift: 0, columnShift: 0, isFlipped: false)

  package init(rowShift: Int, columnShift: Int, isFlipped: Bool) {
    self.rowShift = rowShift
    self.columnShift = columnShift
    self.isFlipped = isFlipped
  }

  /// The columns whose source lies inside a row of `width` pixels.
  func columnsInside(_ width: Int) -> Range<Int> {
    let lower = min(width, max(0, -columnShift))
    return lower..<max(lower, min(width, width - columnShift))
  }
}
