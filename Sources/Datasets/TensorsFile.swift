import Foundation
import Tensors

extension Dataset {
  /// The arrays x and y, and x_test and y_test if there are any, of a safetensors file.
  ///
  /// x: [N, C, H, W] or [N, F], float32, used as it stands, or uint8, normalized per channel (a feature is a channel)
  /// with the training split's statistics. y: [N], int64, from 0.
  ///
  /// - Parameters:
  ///   - classCount: nil for the largest label plus 1.
  /// - Throws: `LockstepError` if the file is missing or damaged, or an array is missing or not as above.
  static func tensors(file path: String?, classCount: Int?) throws -> Dataset {
    guard let path else {
      throw LockstepError("tensors needs a file: --data PATH names a safetensors file with arrays x and y")
    }
    let file = try Safetensors(contentsOf: path)

    func tensor(_ name: String) throws -> Tensor {
      guard let tensor = file[name] else {
        let names = file.names.isEmpty ? "none" : file.names.joined(separator: ", ")
        throw LockstepError("\(path): no array \(name); found: \(names)")
      }
      return tensor
    }

    func images(_ name: String) throws -> (tensor: Tensor, shape: SampleShape) {
      let tensor = try tensor(name)
      guard tensor.type == .float32 || tensor.type == .uint8 else {
        throw LockstepError("\(path): \(name) has element type \(tensor.type.rawValue); expected F32 or U8")
      }
      let extents = tensor.shape
      guard extents.count == 2 || extents.count == 4, !extents.contains(0) else {
        throw LockstepError("\(path): \(name) has shape \(extents); expected [N, C, H, W] or [N, F], none of them 0")
      }
      return (
        tensor,
        extents.count == 2
          ? .features(extents[1]) : SampleShape(channels: extents[1], height: extents[2], width: extents[3])
      )
    }

    func labels(_ name: String, count: Int) throws -> [Int64] {
      let tensor = try tensor(name)
      guard tensor.type == .int64, tensor.shape == [count] else {
        throw LockstepError(
          "\(path): \(name) is \(tensor.type.rawValue) \(tensor.shape); expected I64 [\(count)], a label for each"
            + " sample")
      }
      return tensor.int64s
    }

    let x = try images("x")
    let y = try labels("y", count: x.tensor.shape[0])
    var test: (x: Tensor, y: [Int64])?
    if file["x_test"] != nil || file["y_test"] != nil {
      let images = try images("x_test")
      guard images.shape == x.shape, images.tensor.type == x.tensor.type else {
        throw LockstepError(
          "\(path): x_test is \(images.tensor.type.rawValue) \(images.shape) per sample; expected"
            + " \(x.tensor.type.rawValue) \(x.shape), as x")
      }
      test = (images.tensor, try labels("y_test", count: images.tensor.shape[0]))
    }

    let largest = (y + (test?.y ?? [])).max() ?? 0
    let classCount = classCount ?? Int(min(max(largest, 0), Int64(classCounts.upperBound) - 1)) + 1
    func checked(_ labels: [Int64], _ name: String) throws -> [Int32] {
      try labels.enumerated().map { sample, label in
        try checkedLabel(Int(label), sample: sample, classCount: classCount, in: "\(path): \(name)")
      }
    }
    let train = (x: x.tensor, y: try checked(y, "y"))
    let evaluation = try test.map { (x: $0.x, y: try checked($0.y, "y_test")) }

    if x.tensor.type == .uint8 {
      return Dataset(
        name: "tensors", classCount: classCount, shape: x.shape, train: (Array(train.x.data), train.y),
        test: evaluation.map { (Array($0.x.data), $0.y) }, augmentation: .none)
    }
    return Dataset(
      name: "tensors", classCount: classCount,
      train: LabeledSamples(floats: train.x.floats, labels: train.y, shape: x.shape),
      test: evaluation.map { LabeledSamples(floats: $0.x.floats, labels: $0.y, shape: x.shape) }, augmentation: .none)
  }
}
