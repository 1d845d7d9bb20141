import Datasets
import Foundation
import Tensors
import Testing

@Suite struct TensorsFileTests {
  private let folder: TemporaryFolder
  private var path: String { folder.path + "/x.safetensors" }

  init() throws { folder = try TemporaryFolder() }

  private func labels(_ values: [Int64]) -> Tensor {
    Tensor(type: .int64, shape: [values.count], data: values.withUnsafeBytes { Data($0) })
  }

  private func bytes(_ count: Int, _ key: Int, shape: [Int]) -> Tensor {
    Tensor(type: .uint8, shape: shape, data: Data(noise(count, key)))
  }

  private func write(_ tensors: [String: Tensor]) throws {
    var file = Safetensors()
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) { file[name] = tensor }
    try file.write(to: path)
  }

  @Test func floatsAreUsedAsTheyStand() throws {
    let x = (0..<15).map { Float($0) * 0.37 - 2 }
    try write(["x": Tensor(x, shape: [5, 3]), "y": labels([0, 2, 1, 1, 0])])
    let dataset = try Dataset.load("tensors", path)
    #expect(dataset.shape == .features(3))
    #expect(dataset.classCount == 3)
    #expect(dataset.test == nil)
    #expect(dataset.train.labels == [0, 2, 1, 1, 0])
    #expect((0..<5).flatMap { dataset.train.floats($0) } == x)
    #expect(dataset.augmentation == .none)
    #expect(try Dataset.load("tensors", path, classCount: 7).classCount == 7)
  }

  @Test func bytesAreNormalizedWithTheTrainingSplit() throws {
    try write([
      "x": bytes(5 * 70, 1, shape: [5, 2, 7, 5]), "y": labels([0, 2, 1, 1, 0]),
      "x_test": bytes(3 * 70, 2, shape: [3, 2, 7, 5]), "y_test": labels([0, 3, 1]),
    ])
    let dataset = try Dataset.load("tensors", path)
    #expect(dataset.shape == SampleShape(channels: 2, height: 7, width: 5))
    #expect(dataset.classCount == 4)
    #expect(dataset.train.bytes == noise(350, 1))
    #expect(dataset.test?.bytes == noise(210, 2))
    #expect(dataset.test?.labels == [0, 3, 1])
    for split in [dataset.train, dataset.test!] {
      guard case .bytes(_, let normalization) = split.pixels else { return }
      #expect(normalization == Normalization(of: noise(350, 1), shape: dataset.shape))
    }
  }

  @Test func missingAndWrongArraysAreNamed() throws {
    let x = Tensor([1, 2, 3, 4, 5, 6], shape: [3, 2])
    let y = labels([0, 1, 2])
    let cases: [([String: Tensor], [String])] = [
      (["x": x], ["no array y", "found: x"]),
      ([:], ["no array x", "found: none"]),
      (["x": labels([1]), "y": y], ["x has element type I64", "F32 or U8"]),
      (["x": Tensor([1, 2, 3], shape: [3]), "y": y], ["x has shape [3]", "[N, C, H, W] or [N, F]"]),
      (["x": Tensor([], shape: [0, 2]), "y": labels([])], ["x has shape [0, 2]", "none of them 0"]),
      (["x": x, "y": labels([0, 1])], ["y is I64 [2]", "I64 [3]"]),
      (["x": x, "y": Tensor([0, 1, 2], shape: [3])], ["y is F32 [3]", "I64 [3]"]),
      (["x": x, "y": labels([0, -1, 2])], ["y: sample 1", "label -1", "0 to 2"]),
      (["x": x, "y": labels([0, 1, 1 << 40])], ["y: sample 2", "label 1099511627776", "0 to 999999"]),
      (["x": x, "y": y, "x_test": x], ["no array y_test"]),
      (["x": x, "y": y, "y_test": y], ["no array x_test"]),
      (
        ["x": x, "y": y, "x_test": Tensor([1, 2, 3], shape: [1, 3]), "y_test": labels([0])],
        ["x_test is F32 [3]", "F32 [2]"]
      ),
      (
        ["x": x, "y": y, "x_test": bytes(2, 0, shape: [1, 2]), "y_test": labels([0])],
        ["x_test is U8 [2]", "F32 [2]"]
      ),
    ]
    for (tensors, expected) in cases {
      try write(tensors)
      for part in expected + [path] { expectError(part) { try .load("tensors", path) } }
    }
    try write(["x": x, "y": y, "x_test": x, "y_test": labels([0, 0, 2])])
    expectError("y: sample 2", "label 2", "0 to 1") { try .load("tensors", path, classCount: 2) }
    expectError("tensors needs a file", "--data PATH") { try .load("tensors", nil) }
    expectError("/nowhere.safetensors", "no such file") { try .load("tensors", folder.path + "/nowhere.safetensors") }
  }
}
