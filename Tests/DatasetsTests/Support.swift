import CZlib
import Datasets
import Foundation
import Tensors
import Testing

/// A folder that is removed with the test that made it.
final class TemporaryFolder {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("lockstep-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ bytes: some Sequence<UInt8>, _ name: String) throws {
    let url = URL(fileURLWithPath: path).appendingPathComponent(name)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
  }

  func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path + "/" + name) }
}

/// Packs bytes as gzip does.
func gzip(_ bytes: [UInt8]) throws -> [UInt8] {
  let folder = try TemporaryFolder()
  let path = folder.path + "/x.gz"
  let file = try #require(gzopen(path, "wb"))
  #expect(gzwrite(file, bytes, UInt32(bytes.count)) == Int32(bytes.count))
  #expect(gzclose_w(file) == Z_OK)
  return try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
}

/// Bytes that look like nothing in particular.
func noise(_ count: Int, _ key: Int = 0) -> [UInt8] {
  var random = KeyedRandom(seed: 99, .data, 1_000, key)
  return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}

extension LabeledSamples {
  /// Sample `index` as `copy` writes it, with a guard value behind that must survive.
  func floats(_ index: Int, placement: Placement = .asStored) -> [Float] {
    var values = [Float](repeating: -77, count: shape.count + 1)
    values.withUnsafeMutableBufferPointer { copy([Int32(index)], to: $0.baseAddress!) { _ in placement } }
    #expect(values.removeLast() == -77)
    return values
  }

  /// The stored bytes.
  var bytes: [UInt8] {
    if case .bytes(let bytes, _) = pixels { return bytes }
    Issue.record("the samples are not bytes")
    return []
  }
}

extension Dataset {
  static func load(_ name: String, _ path: String?, classCount: Int? = nil) throws -> Dataset {
    try load(name, path: path, shape: nil, classCount: classCount, seed: 1)
  }
}

/// Expects `LockstepError` with each of `parts` in its text.
func expectError(
  _ parts: String..., location: SourceLocation = #_sourceLocation, from body: () throws -> Dataset
) {
  let error = #expect(throws: LockstepError.self, sourceLocation: location) { _ = try body() }
  guard let text = error?.description else { return }
  for part in parts where !text.contains(part) {
    Issue.record("\"\(text)\" should contain \"\(part)\"", sourceLocation: location)
  }
}

/// Standard data sets as published, which the project does not contain.
enum RealData {
  static let folder =
    ProcessInfo.processInfo.environment["LOCKSTEP_DATA"]
    ?? URL(fileURLWithPath: #filePath).appendingPathComponent("../../../../shared/data").standardized.path

  static func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: folder + "/" + name) }
}
