import Datasets
import Tensors
import Testing

@Suite struct AugmentationTests {
  /// Pads with zeros, cuts the window out, mirrors it: each step by its definition.
  private func naive(
    _ image: [Float], _ shape: SampleShape, zero: [Float], padding: Int, _ placement: Placement
  ) -> [Float] {
    let (height, width) = (shape.height, shape.width)
    var result: [Float] = []
    for channel in 0..<shape.channels {
      var padded = [[Float]](
        repeating: .init(repeating: zero[channel], count: width + 2 * padding), count: height + 2 * padding)
      for y in 0..<height {
        for x in 0..<width { padded[y + padding][x + padding] = image[(channel * height + y) * width + x] }
      }
      for y in 0..<height {
        let row = padded[y + padding + placement.rowShift]
        let cut = (0..<width).map { row[$0 + padding + placement.columnShift] }
        result += placement.isFlipped ? cut.reversed() : cut
      }
    }
    return result
  }

  // 3 x 2 with padding 4: windows may miss the image altogether.
  @Test(arguments: [(7, 5, 3), (3, 2, 4), (1, 1, 1)])
  func cropsAndFlipsAreThoseOfTheDefinition(height: Int, width: Int, padding: Int) {
    let shape = SampleShape(channels: 3, height: height, width: width)
    let bytes = noise(2 * shape.count)
    let normalization = Normalization(mean: [0.25, 0.5, 0.1], deviation: [0.5, 0.25, 2])
    let byteSamples = LabeledSamples(bytes: bytes, labels: [0, 1], shape: shape, normalization: normalization)
    let floatSamples = LabeledSamples(floats: bytes.map(Float.init), labels: [0, 1], shape: shape)
    for rowShift in -padding...padding {
      for columnShift in -padding...padding {
        for isFlipped in [false, true] {
          let placement = Placement(rowShift: rowShift, columnShift: columnShift, isFlipped: isFlipped)
          #expect(
            byteSamples.floats(1, placement: placement)
              == naive(byteSamples.floats(1), shape, zero: [-0.5, -2, -0.05], padding: padding, placement))
          #expect(
            floatSamples.floats(1, placement: placement)
              == naive(floatSamples.floats(1), shape, zero: [0, 0, 0], padding: padding, placement))
        }
      }
    }
  }

  @Test func normalizedPixelsAreThoseOfTheFormula() {
    let bytes = noise(12)
    let samples = LabeledSamples(
      bytes: bytes, labels: [0], shape: SampleShape(channels: 2, height: 2, width: 3),
      normalization: Normalization(mean: [0.25, 0.5], deviation: [0.5, 0.2]))
    for (i, value) in samples.floats(0).enumerated() {
      let expected = (Double(bytes[i]) / 255 - [0.25, 0.5][i / 6]) / [0.5, 0.2][i / 6]
      #expect(abs(Double(value) - expected) < 1e-6)
    }
  }

  @Test func placementsAreKeyedAndUseTheWholeRange() {
    let augmentation = Augmentation(cropPadding: 2, horizontalFlip: true)
    let placements = (0..<2_000).map { augmentation.placement(seed: 5, epoch: 1, index: $0) }
    #expect(Set(placements).count == 5 * 5 * 2)
    #expect(placements == (0..<2_000).map { augmentation.placement(seed: 5, epoch: 1, index: $0) })
    #expect(placements != (0..<2_000).map { augmentation.placement(seed: 5, epoch: 2, index: $0) })
    #expect(placements != (0..<2_000).map { augmentation.placement(seed: 6, epoch: 1, index: $0) })
    #expect(abs(placements.filter(\.isFlipped).count - 1_000) < 100)
    #expect(Augmentation.none.placement(seed: 5, epoch: 1, index: 3) == .asStored)
    #expect(
      (0..<100).allSatisfy {
        !Augmentation(cropPadding: 2, horizontalFlip: false).placement(seed: 5, epoch: 1, index: $0).isFlipped
      })
  }
}
