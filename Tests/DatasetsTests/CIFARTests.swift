import Datasets
import Tensors
import Testing

@Suite struct CIFARTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func pixels(_ file: Int, _ sample: Int) -> [UInt8] { noise(3_072, file * 100 + sample) }

  /// `count` records with the label bytes `labels(sample)`.
  private func records(_ file: Int, _ count: Int, _ labels: (Int) -> [UInt8]) -> [UInt8] {
    (0..<count).flatMap { labels($0) + pixels(file, $0) }
  }

  private func writeTen(in subfolder: String = "") throws {
    for file in 1...5 {
      try folder.write(records(file, file) { [UInt8(($0 + file) % 10)] }, "\(subfolder)data_batch_\(file).bin")
    }
    try folder.write(records(6, 2) { [UInt8($0 + 8)] }, "\(subfolder)test_batch.bin")
  }

  @Test(arguments: ["", "cifar-10-batches-bin/"]) func tenClasses(subfolder: String) throws {
    try writeTen(in: subfolder)
    let dataset = try Dataset.load("cifar10", folder.path)
    #expect(dataset.shape == SampleShape(channels: 3, height: 32, width: 32))
    #expect(dataset.classCount == 10)
    #expect(dataset.train.labels == (1...5).flatMap { file in (0..<file).map { Int32(($0 + file) % 10) } })
    #expect(dataset.train.bytes == (1...5).flatMap { file in (0..<file).flatMap { pixels(file, $0) } })
    #expect(dataset.test?.labels == [8, 9])
    #expect(dataset.test?.bytes == pixels(6, 0) + pixels(6, 1))
    #expect(dataset.augmentation == Augmentation(cropPadding: 4, horizontalFlip: true))
  }

  @Test(arguments: ["", "cifar-100-binary/"]) func aHundredClassesAreTheFineOnes(subfolder: String) throws {
    try folder.write(records(1, 3) { [19, UInt8(97 + $0)] }, "\(subfolder)train.bin")
    try folder.write(records(2, 2) { [18, UInt8($0)] }, "\(subfolder)test.bin")
    let dataset = try Dataset.load("cifar100", folder.path)
    #expect(dataset.classCount == 100)
    #expect(dataset.train.labels == [97, 98, 99])
    #expect(dataset.train.bytes == (0..<3).flatMap { pixels(1, $0) })
    #expect(dataset.test?.labels == [0, 1])
    try folder.write(records(1, 3) { [19, UInt8(98 + $0)] }, "\(subfolder)train.bin")
    expectError("train.bin", "sample 2", "label 100", "0 to 99") { try .load("cifar100", folder.path) }
  }

  @Test func missingAndDamagedFilesAreNamed() throws {
    expectError("cifar10", "--data PATH", "cifar-10-binary.tar.gz") { try .load("cifar10", nil) }
    expectError("cifar100", "--data PATH", "cifar-100-binary.tar.gz") { try .load("cifar100", nil) }
    try writeTen()
    try folder.write(records(4, 4) { [UInt8($0 + 7)] }, "data_batch_4.bin")
    expectError("data_batch_4.bin", "sample 3", "label 10", "0 to 9") { try .load("cifar10", folder.path) }
    try folder.write(records(4, 4) { [UInt8($0)] }.dropLast(), "data_batch_4.bin")
    expectError("data_batch_4.bin", "offset 12291", "3073") { try .load("cifar10", folder.path) }
    try folder.write([], "data_batch_4.bin")
    expectError("data_batch_4.bin", "offset 0", "3073") { try .load("cifar10", folder.path) }
    try folder.remove("data_batch_4.bin")
    expectError("no such file", "data_batch_4.bin", "--data PATH", "https://") { try .load("cifar10", folder.path) }
  }
}
