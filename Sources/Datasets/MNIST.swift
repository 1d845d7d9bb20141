import Foundation
import Tensors

extension Dataset {
  /// MNIST and the data sets that come in its four files: [1, 28, 28] bytes, 10 classes, in IDX files, plain or .gz.
  ///
  /// - Parameters:
  ///   - source: where the user can get the files.
  /// - Throws: `LockstepError` if a file is missing, damaged or not what its name says.
  static func mnist(name: String, folder: String?, source: String, augmentation: Augmentation) throws -> Dataset {
    let help = "--data PATH names the folder with its four IDX files, plain or .gz, from \(source)"
    guard let folder else { throw LockstepError("\(name) needs files: \(help)") }
    let shape = SampleShape(channels: 1, height: 28, width: 28)

    func file(_ name: String, dimensions: Int) throws -> (path: String, array: IDX) {
      let plain = URL(fileURLWithPath: folder).appendingPathComponent(name).path
      guard let path = [plain, plain + ".gz"].first(where: FileManager.default.fileExists) else {
        throw LockstepError("no such file: \(plain) or \(plain).gz; \(help)")
      }
      return (path, try IDX(contentsOf: path, dimensions: dimensions))
    }

    func split(_ prefix: String) throws -> (bytes: [UInt8], labels: [Int32]) {
      let (imagePath, images) = try file("\(prefix)-images-idx3-ubyte", dimensions: 3)
      let (labelPath, labels) = try file("\(prefix)-labels-idx1-ubyte", dimensions: 1)
      guard images.extents[0] > 0 else { throw LockstepError("\(imagePath): offset 4: no images") }
      guard images.extents[1...] == [shape.height, shape.width] else {
        throw LockstepError(
          "\(imagePath): offset 8: images of \(images.extents[1]) x \(images.extents[2]) pixels; expected 28 x 28")
      }
      guard labels.extents[0] == images.extents[0] else {
        throw LockstepError(
          "\(labelPath): offset 4: \(labels.extents[0]) labels; expected one for each of the \(images.extents[0])"
            + " images in \(imagePath)")
      }
      let checked = try labels.values.enumerated().map { sample, label in
        try checkedLabel(Int(label), sample: sample, classCount: 10, in: labelPath)
      }
      return (Array(images.values), checked)
    }

    return Dataset(
      name: name, classCount: 10, shape: shape, train: try split("train"), test: try split("t10k"),
      augmentation: augmentation)
  }

  /// A data set of bytes, both splits normalized with the training split's statistics.
  init(
    name: String, classCount: Int, shape: SampleShape, train: (bytes: [UInt8], labels: [Int32]),
    test: (bytes: [UInt8], labels: [Int32])?, augmentation: Augmentation
  ) {
    let normalization = Normalization(of: train.bytes, shape: shape)
    func samples(_ split: (bytes: [UInt8], labels: [Int32])) -> LabeledSamples {
      LabeledSamples(bytes: split.bytes, labels: split.labels, shape: shape, normalization: normalization)
    }
    self.init(
      name: name, classCount: classCount, train: samples(train), test: test.map(samples), augmentation: augmentation)
  }
}
