import Tensors

extension Dataset {
  /// The number of training samples of `glyphs`.
  public static let glyphTrainCount = 12_000
  /// The number of test samples of `glyphs`.
  public static let glyphTestCount = 2_000

  /// Handwritten-looking digits, [1, 28, 28], that need no file: every sample is a function of (seed, split, index).
  ///
  /// Sample i shows the digit i % 10, so that the classes are balanced. Only plain arithmetic and square roots are
  /// used: the same bytes everywhere.
  static func glyphs(seed: UInt64) -> Dataset {
    let shape = SampleShape(channels: 1, height: GlyphPainter.side, width: GlyphPainter.side)
    func split(_ number: Int, count: Int) -> (bytes: [UInt8], labels: [Int32]) {
      let bytes: [UInt8] = filledConcurrently(count: count, each: shape.count) { index, image in
        var painter = GlyphPainter(random: KeyedRandom(seed: seed, .glyph, number, index))
        painter.paint(digit: index % 10, to: image)
      }
      return (bytes, (0..<count).map { Int32($0 % 10) })
    }
    return Dataset(
      name: "glyphs", classCount: 10, shape: shape, train: split(0, count: glyphTrainCount),
      test: split(1, count: glyphTestCount), augmentation: Augmentation(cropPadding: 2, horizontalFlip: false))
  }
}
