import Foundation
import Tensors

/// CIFAR-10 and CIFAR-100, the binary version: [3, 32, 32] bytes.
///
/// A file is a run of records, each the label bytes (CIFAR-10: the class; CIFAR-100: the coarse, then the fine class,
/// which is the one used) and 3072 bytes of red, green and blue rows.
///
/// Source: Krizhevsky: Learning multiple layers of features from tiny images. 2009.
/// www.cs.toronto.edu/~kriz/cifar.html.
struct CIFAR {
  let name: String
  let subfolder: String
  let archive: String
  let trainFiles: [String]
  let testFile: String
  let labelBytes: Int
  let classCount: Int

  static let ten = CIFAR(
    name: "cifar10", subfolder: "cifar-10-batches-bin", archive: "cifar-10-binary.tar.gz",
    trainFiles: (1...5).map { "data_batch_\($0).bin" }, testFile: "test_batch.bin", labelBytes: 1, classCount: 10)
  static let hundred = CIFAR(
    name: "cifar100", subfolder: "cifar-100-binary", archive: "cifar-100-binary.tar.gz",
    trainFiles: ["train.bin"], testFile: "test.bin", labelBytes: 2, classCount: 100)

  private static let shape = SampleShape(channels: 3, height: 32, width: 32)

  /// Reads the files in `folder`, or in the archive's own folder inside it.
  ///
  /// - Throws: `LockstepError` if a file is missing, truncated, or has a label out of range.
  func dataset(folder: String?) throws -> Dataset {
    let help =
      "--data PATH names the folder with \(subfolder), which is in \(archive) from"
      + " https://www.cs.toronto.edu/~kriz/cifar.html"
    guard let folder else { throw LockstepError("\(name) needs files: \(help)") }
    let root = URL(fileURLWithPath: folder)
    let inner = root.appendingPathComponent(subfolder)
    let base = FileManager.default.fileExists(atPath: inner.path) ? inner : root

    func split(_ files: [String]) throws -> (bytes: [UInt8], labels: [Int32]) {
      var bytes: [UInt8] = []
      var labels: [Int32] = []
      for file in files {
        let path = base.appendingPathComponent(file).path
        guard FileManager.default.fileExists(atPath: path) else {
          throw LockstepError("no such file: \(path); \(help)")
        }
        try read(path, &bytes, &labels)
      }
      return (bytes, labels)
    }

    return Dataset(
      name: name, classCount: classCount, shape: Self.shape, train: try split(trainFiles),
      test: try split([testFile]), augmentation: Augmentation(cropPadding: 4, horizontalFlip: true))
  }

  private func read(_ path: String, _ bytes: inout [UInt8], _ labels: inout [Int32]) throws {
    let records = try contents(of: path)
    let recordBytes = labelBytes + Self.shape.count
    let count = records.count / recordBytes
    guard count > 0, records.count == count * recordBytes else {
      throw LockstepError(
        "\(path): offset \(records.count): the file ends here; expected whole records of \(recordBytes) bytes")
    }
    for sample in 0..<count {
      let record = records[sample * recordBytes..<(sample + 1) * recordBytes]
      let label = Int(record[record.startIndex + labelBytes - 1])
      labels.append(try checkedLabel(label, sample: sample, classCount: classCount, in: path))
      bytes.append(contentsOf: record.dropFirst(labelBytes))
    }
  }
}
