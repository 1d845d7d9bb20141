import Foundation

/// The element types that files carry.
public enum ElementType: String, Sendable {
  case float32 = "F32"
  case float64 = "F64"
  case int64 = "I64"
  case int32 = "I32"
  case uint8 = "U8"

  /// The size of one element.
  public var bytes: Int {
    switch self {
    case .float32, .int32: 4
    case .float64, .int64: 8
    case .uint8: 1
    }
  }
}

/// A named array at rest: what files hold. Row-major, little-endian. Not a tensor to compute with.
public struct Tensor: Sendable, Equatable {
  public let type: ElementType
  public let shape: [Int]
  public let data: Data

  public init(type: ElementType, shape: [Int], data: Data) {
    invariant(
      data.count == shape.reduce(type.bytes, *), "a \(type.rawValue) tensor \(shape) cannot hold \(data.count) bytes")
    self.type = type
    self.shape = shape
    self.data = data
  }

  /// A Float tensor.
  public init(_ values: [Float], shape: [Int]) {
    self.init(type: .float32, shape: shape, data: values.withUnsafeBytes { Data($0) })
  }

  /// The elements of a Float tensor.
  public var floats: [Float] {
    invariant(type == .float32, "read a \(type.rawValue) tensor as Float")
    return copiedElements()
  }

  /// The elements of an Int64 tensor.
  public var int64s: [Int64] {
    invariant(type == .int64, "read a \(type.rawValue) tensor as Int64")
    return copiedElements()
  }

  private func copiedElements<Element: BitwiseCopyable>() -> [Element] {
    Array(unsafeUninitializedCapacity: data.count / MemoryLayout<Element>.stride) { buffer, count in
      count = data.copyBytes(to: buffer) / MemoryLayout<Element>.stride
    }
  }
}
