import Datasets
import Tensors
import Testing

@Suite struct GlyphTests {
  private func glyphs(seed: UInt64) throws -> Dataset {
    try Dataset.load("glyphs", path: nil, shape: nil, classCount: nil, seed: seed)
  }

  private func checksum(_ bytes: [UInt8]) -> UInt64 {
    // FNV-1a, 64 bits.
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  // The checksums are this implementation's own: they hold the images fixed from machine to machine and release to
  // release.
  @Test func glyphsAreTheSameEverywhere() throws {
    let dataset = try glyphs(seed: 1)
    #expect(checksum(dataset.train.bytes) == 0x6B29_C8B3_3891_8AD1)
    #expect(checksum(dataset.test!.bytes) == 0xFFF5_07FC_EC1B_3EE2)
    #expect(try glyphs(seed: 1).train.bytes == dataset.train.bytes)
  }

  @Test func seedsSplitsAndSamplesDiffer() throws {
    let dataset = try glyphs(seed: 1)
    #expect(try glyphs(seed: 2).train.bytes != dataset.train.bytes)
    var images: Set<ArraySlice<UInt8>> = []
    for bytes in [dataset.train.bytes, dataset.test!.bytes] {
      for start in stride(from: 0, to: bytes.count, by: 784) { images.insert(bytes[start..<start + 784]) }
    }
    #expect(images.count == 14_000)
  }

  @Test func labelsAreBalanced() throws {
    let dataset = try glyphs(seed: 1)
    #expect(dataset.train.count == Dataset.glyphTrainCount)
    #expect(dataset.test?.count == Dataset.glyphTestCount)
    for split in [dataset.train, dataset.test!] {
      for label in 0..<10 { #expect(split.labels.filter { $0 == label }.count == split.count / 10) }
    }
    #expect(dataset.classCount == 10)
    #expect(dataset.shape == SampleShape(channels: 1, height: 28, width: 28))
  }

  // A glyph is more like the mean of its own digit than like the others' far more often than one in ten.
  @Test func imagesShowTheirLabels() throws {
    let dataset = try glyphs(seed: 1)
    var means = [[Float]](repeating: .init(repeating: 0, count: 784), count: 10)
    for i in 0..<dataset.train.count {
      let image = dataset.train.floats(i)
      for p in 0..<784 { means[Int(dataset.train.labels[i])][p] += image[p] / 1_200 }
    }
    var hits = 0
    for i in 0..<dataset.test!.count {
      let image = dataset.test!.floats(i)
      let distances = means.map { mean in zip(mean, image).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } }
      if distances.firstIndex(of: distances.min()!) == Int(dataset.test!.labels[i]) { hits += 1 }
    }
    #expect(hits > 1_000 && hits < 1_700, "\(hits) of 2000")
  }
}
