import Datasets
import Foundation
import Tensors
import Testing

@Suite struct MNISTTests {
  private let folder: TemporaryFolder
  private let trainPixels = noise(5 * 784, 1)
  private let testPixels = noise(3 * 784, 2)

  init() throws {
    folder = try TemporaryFolder()
    try folder.write(idx([5, 28, 28], trainPixels), "train-images-idx3-ubyte")
    try folder.write(idx([5], [9, 0, 3, 3, 1]), "train-labels-idx1-ubyte")
    try folder.write(idx([3, 28, 28], testPixels), "t10k-images-idx3-ubyte")
    try folder.write(idx([3], [1, 2, 3]), "t10k-labels-idx1-ubyte")
  }

  private func idx(_ extents: [Int], _ values: [UInt8], magic: Int? = nil) -> [UInt8] {
    ([magic ?? 0x800 + extents.count] + extents).flatMap { word in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) }
    } + values
  }

  /// Replaces a plain file by a packed one.
  private func pack(_ name: String, _ bytes: [UInt8]) throws {
    try folder.remove(name)
    try folder.write(bytes, name + ".gz")
  }

  private func check(_ dataset: Dataset, _ name: String) {
    #expect(dataset.name == name)
    #expect(dataset.shape == SampleShape(channels: 1, height: 28, width: 28))
    #expect(dataset.classCount == 10)
    #expect(dataset.train.labels == [9, 0, 3, 3, 1])
    #expect(dataset.test?.labels == [1, 2, 3])
    #expect(dataset.train.bytes == trainPixels)
    #expect(dataset.test?.bytes == testPixels)
    guard case .bytes(_, let normalization) = dataset.test?.pixels else { return }
    #expect(normalization == Normalization(of: trainPixels, shape: dataset.shape))
  }

  @Test func plainAndPackedFilesAreTheSame() throws {
    check(try .load("mnist", folder.path), "mnist")
    try pack("train-images-idx3-ubyte", gzip(idx([5, 28, 28], trainPixels)))
    try pack("t10k-labels-idx1-ubyte", gzip(idx([3], [1, 2, 3])))
    check(try .load("fashion-mnist", folder.path), "fashion-mnist")
  }

  @Test func missingFilesAreNamedWithTheOption() throws {
    expectError("mnist", "--data PATH", "https://") { try .load("mnist", nil) }
    expectError("fashion-mnist", "--data PATH", "zalandoresearch") { try .load("fashion-mnist", nil) }
    try folder.remove("t10k-labels-idx1-ubyte")
    expectError(folder.path + "/t10k-labels-idx1-ubyte", "--data PATH") { try .load("mnist", folder.path) }
  }

  @Test func damagedFilesAreNamedWithTheOffset() throws {
    let images = idx([5, 28, 28], trainPixels)
    let cases: [(String, [UInt8], [String])] = [
      ("train-images-idx3-ubyte", Array(images.dropLast(3)), ["offset 16", "expected 3920", "found 3917"]),
      ("train-images-idx3-ubyte", images + [0], ["offset 16", "expected 3920", "found 3921"]),
      ("train-images-idx3-ubyte", Array(images.prefix(9)), ["offset 9", "16 bytes of IDX header"]),
      ("train-images-idx3-ubyte", [], ["offset 0", "16 bytes of IDX header"]),
      ("train-images-idx3-ubyte", idx([5, 28, 28], trainPixels, magic: 0x801), ["offset 0", "2049", "expected 2051"]),
      ("train-images-idx3-ubyte", idx([5, 14, 56], trainPixels), ["offset 8", "14 x 56", "expected 28 x 28"]),
      ("train-images-idx3-ubyte", idx([0, 28, 28], []), ["offset 4", "no images"]),
      (
        "train-images-idx3-ubyte", idx([0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF], trainPixels),
        ["offset 4", "impossible extents"]
      ),
      ("train-labels-idx1-ubyte", idx([4], [1, 2, 3, 4]), ["offset 4: 4 labels", "5 images"]),
      ("train-labels-idx1-ubyte", idx([5], [1, 2, 10, 4, 5]), ["sample 2", "label 10", "0 to 9"]),
      ("t10k-labels-idx1-ubyte", idx([3], [1, 2, 255]), ["sample 2", "label 255", "0 to 9"]),
      ("t10k-labels-idx1-ubyte", idx([3, 1, 1], [1, 2, 3]), ["offset 0", "2051", "expected 2049"]),
    ]
    for (name, bytes, expected) in cases {
      let original = try [UInt8](Data(contentsOf: URL(fileURLWithPath: folder.path + "/" + name)))
      try folder.write(bytes, name)
      for part in expected + [folder.path + "/" + name] { expectError(part) { try .load("mnist", folder.path) } }
      try folder.write(original, name)
    }
    check(try .load("mnist", folder.path), "mnist")
  }

  @Test func damagedPackedFilesAreNamedWithTheOffset() throws {
    let name = "train-images-idx3-ubyte"
    let packed = try gzip(idx([5, 28, 28], trainPixels))
    var flipped = packed
    flipped[packed.count - 6] ^= 1  // The checksum.
    var broken = packed
    broken[10] = 0xFF  // The first block's type.
    try pack(name, Array(packed.dropLast(9)))
    expectError(name + ".gz: offset", "ends in the middle") { try .load("mnist", folder.path) }
    try folder.write(packed.prefix(5), name + ".gz")
    expectError(name + ".gz: offset 5", "ends in the middle") { try .load("mnist", folder.path) }
    for bytes in [flipped, broken] {
      try folder.write(bytes, name + ".gz")
      expectError(name + ".gz: offset", "damaged gzip data") { try .load("mnist", folder.path) }
    }
    try folder.remove(name + ".gz")
    try folder.write([0], name + "/inside")
    expectError("cannot read", name, "irectory") { try .load("mnist", folder.path) }
  }

  @Test func optionsThatContradictTheDataAreErrors() throws {
    expectError("mnist has samples [1, 28, 28], not [3, 28, 28]") {
      let shape = SampleShape(channels: 3, height: 28, width: 28)
      return try .load("mnist", path: folder.path, shape: shape, classCount: 10, seed: 1)
    }
    expectError("mnist has 10 classes, not 11") { try .load("mnist", folder.path, classCount: 11) }
    expectError("no data set is called imagenet", "fashion-mnist") { try .load("imagenet", nil) }
    expectError("glyphs is made, not read", "/somewhere") { try .load("glyphs", "/somewhere") }
  }
}
