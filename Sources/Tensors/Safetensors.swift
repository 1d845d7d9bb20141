import Foundation

/// A safetensors file: named arrays and text metadata.
///
/// Layout: the header's length as 8 little-endian bytes, the header as JSON, then the arrays' bytes without gaps.
/// Written files are a pure function of their contents: tensors in the order given, metadata sorted by key.
///
/// Source: the format's own description, github.com/huggingface/safetensors, README.
public struct Safetensors: Sendable, Equatable {
  /// The tensors, in the file's order.
  public private(set) var names: [String] = []
  public private(set) var tensors: [String: Tensor] = [:]
  public var metadata: [String: String] = [:]

  /// An empty file.
  public init() {}

  /// The tensor of that name. Setting one that is new appends it.
  public subscript(name: String) -> Tensor? {
    get { tensors[name] }
    set {
      if tensors[name] == nil, newValue != nil { names.append(name) }
      if newValue == nil { names.removeAll { $0 == name } }
      tensors[name] = newValue
    }
  }

  // MARK: - Writing

  /// Writes the file atomically.
  ///
  /// - Throws: `LockstepError` if the path cannot be written; what was there before is then untouched.
  public func write(to path: String) throws {
    var fields: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
      fields.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for name in names {
      let tensor = tensors[name]!
      let end = offset + tensor.data.count
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      fields.append(
        "\(quoted(name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
      )
      offset = end
    }
    var header = Data("{\(fields.joined(separator: ","))}".utf8)
    // Spaces to a multiple of 8, so that the arrays are aligned.
    header.append(Data(repeating: 0x20, count: (8 - header.count % 8) % 8))
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
    try AtomicFile.write([length, header] + names.map { tensors[$0]!.data }, to: path)
  }

  private func quoted(_ text: String) -> String {
    String(decoding: try! JSONEncoder().encode(text), as: UTF8.self)
  }

  // MARK: - Reading

  private struct Entry: Decodable {
    let dtype: String
    let shape: [Int]
    let data_offsets: [Int]
  }

  private enum Field: Decodable {
    case entry(Entry)
    case metadata([String: String])

    init(from decoder: any Decoder) throws {
      if let entry = try? Entry(from: decoder) {
        self = .entry(entry)
      } else {
        self = .metadata(try [String: String](from: decoder))
      }
    }
  }

  /// Reads a file whole.
  ///
  /// - Throws: `LockstepError` naming the file, the offset and what was expected there.
  public init(contentsOf path: String) throws { try self.init(fileBytes(of: path), from: path) }

  /// - Parameter path: where the bytes come from, for errors.
  package init(_ bytes: Data, from path: String) throws {
    guard bytes.count >= 8 else {
      throw LockstepError("\(path): offset 0: expected 8 bytes of header length, found \(bytes.count)")
    }
    let length = bytes.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
    guard length <= UInt64(bytes.count - 8) else {
      throw LockstepError(
        "\(path): offset 0: the header should have \(length) bytes, but only \(bytes.count - 8) follow;"
          + " is this a safetensors file, and whole?")
    }
    let start = 8 + Int(length)
    let fields: [String: Field]
    do {
      fields = try JSONDecoder().decode([String: Field].self, from: bytes[8..<start])
    } catch {
      throw LockstepError("\(path): offset 8: the header is not a safetensors header in JSON")
    }
    var entries: [(name: String, entry: Entry)] = []
    for (name, field) in fields {
      switch field {
      case .metadata(let values) where name == "__metadata__": metadata = values
      case .entry(let entry): entries.append((name, entry))
      case .metadata: throw LockstepError("\(path): offset 8: \(name) needs dtype, shape and data_offsets")
      }
    }
    // Empty tensors share an offset with their successor; the name keeps the order defined.
    entries.sort { ($0.entry.data_offsets.first ?? 0, $0.name) < ($1.entry.data_offsets.first ?? 0, $1.name) }
    for (name, entry) in entries {
      let tensor = try Self.tensor(name, entry, in: bytes, from: start, path)
      self[name] = tensor
    }
  }

  private static func tensor(
    _ name: String, _ entry: Entry, in bytes: Data, from start: Int, _ path: String
  ) throws -> Tensor {
    guard let type = ElementType(rawValue: entry.dtype) else {
      throw LockstepError("\(path): \(name) has element type \(entry.dtype); readable are F32, F64, I64, I32 and U8")
    }
    var count = type.bytes
    for extent in entry.shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard extent >= 0, !overflow else {
        throw LockstepError("\(path): \(name) has the impossible shape \(entry.shape)")
      }
      count = product
    }
    guard entry.data_offsets.count == 2, entry.data_offsets[0] >= 0,
      entry.data_offsets[1] >= entry.data_offsets[0], entry.data_offsets[1] - entry.data_offsets[0] == count
    else {
      throw LockstepError(
        "\(path): \(name) has offsets \(entry.data_offsets), but its shape \(entry.shape) needs \(count) bytes")
    }
    guard entry.data_offsets[1] <= bytes.count - start else {
      throw LockstepError(
        "\(path): offset \(bytes.count): the file ends here, but \(name) reaches to offset \(entry.data_offsets[1]) of what"
          + " follows the header, at offset \(start)")
    }
    let range = start + entry.data_offsets[0]..<start + entry.data_offsets[1]
    return Tensor(type: type, shape: entry.shape, data: bytes.subdata(in: range))
  }
}
