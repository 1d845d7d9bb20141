import Foundation
import Tensors

/// Small data sets of keyed noise in the formats of the big ones.
struct SampleFiles {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  func path(_ name: String) -> String { folder.path(name) }

  private static func bytes(_ count: Int, key: Int) -> [UInt8] {
    var random = KeyedRandom(seed: 1, .data, key)
    return (0..<count).map { _ in UInt8(random.integer(below: 256)) }
  }

  /// Arrays x and y, and a test split of a fourth of the size.
  func tensors(
    _ count: Int, _ shape: [Int], change: (inout Safetensors) -> Void = { _ in }, to name: String
  ) throws -> String {
    var file = Safetensors()
    for (suffix, count, key) in [("", count, 0), ("_test", count / 4, 1)] {
      let pixels = Self.bytes(shape.reduce(count, *), key: key)
      file["x\(suffix)"] = Tensor(type: .uint8, shape: [count] + shape, data: Data(pixels))
      file["y\(suffix)"] = Self.labels((0..<count).map { Int64($0 % 10) })
    }
    change(&file)
    try file.write(to: path(name))
    return path(name)
  }

  static func labels(_ values: [Int64]) -> Tensor {
    Tensor(type: .int64, shape: [values.count], data: values.withUnsafeBytes { Data($0) })
  }

  /// The folder of MNIST's four files.
  ///
  /// - Parameter change: given each file's name and bytes.
  func mnist(
    _ count: Int, change: (String, inout Data) -> Void = { _, _ in }, to name: String
  ) throws -> String {
    try FileManager.default.createDirectory(atPath: path(name), withIntermediateDirectories: true)
    func write(_ file: String, _ extents: [Int], _ values: [UInt8]) throws {
      var data = Data([0, 0, 8, UInt8(extents.count)])
      for extent in extents { data.append(contentsOf: [0, 0, UInt8(extent >> 8), UInt8(extent & 255)]) }
      data.append(contentsOf: values)
      change(file, &data)
      try folder.write(data, to: "\(name)/\(file)")
    }
    for (prefix, count, key) in [("train", count, 2), ("t10k", count / 4, 3)] {
      try write("\(prefix)-images-idx3-ubyte", [count, 28, 28], Self.bytes(count * 784, key: key))
      try write("\(prefix)-labels-idx1-ubyte", [count], (0..<count).map { UInt8($0 % 10) })
    }
    return path(name)
  }

  /// The folder of CIFAR-10's six files.
  func cifar(_ count: Int, change: (String, inout Data) -> Void = { _, _ in }, to name: String) throws -> String {
    try FileManager.default.createDirectory(atPath: path(name), withIntermediateDirectories: true)
    let files = (1...5).map { "data_batch_\($0).bin" } + ["test_batch.bin"]
    for (key, file) in files.enumerated() {
      var data = Data()
      for sample in 0..<count { data += [UInt8(sample % 10)] + Self.bytes(3072, key: 100 + key * count + sample) }
      change(file, &data)
      try folder.write(data, to: "\(name)/\(file)")
    }
    return path(name)
  }
}
