import Tensors

/// An array of bytes in an IDX file: two zero bytes, the type (8: bytes), the number of dimensions, each extent in four
/// bytes, big-endian, then the values.
///
/// Source: yann.lecun.com/exdb/mnist, "The IDX file format".
struct IDX {
  let extents: [Int]
  let values: ArraySlice<UInt8>

  /// Reads a file, plain or gzip.
  ///
  /// - Throws: `LockstepError` naming the file, the offset and what was expected there.
  init(contentsOf path: String, dimensions: Int) throws {
    let bytes = try contents(of: path)
    let headerBytes = 4 + 4 * dimensions
    guard bytes.count >= headerBytes else {
      throw LockstepError(
        "\(path): offset \(bytes.count): the file ends here; expected \(headerBytes) bytes of IDX header")
    }
    func word(at offset: Int) -> Int { bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) } }
    let magic = 0x800 + dimensions
    guard word(at: 0) == magic else {
      throw LockstepError(
        "\(path): offset 0: magic number \(word(at: 0)); expected \(magic), an IDX array of bytes with \(dimensions)"
          + " dimension\(dimensions == 1 ? "" : "s")")
    }
    extents = (0..<dimensions).map { word(at: 4 + 4 * $0) }
    // At most three extents below 2^32: the product is checked, since it can exceed 63 bits.
    var count = 1
    for extent in extents {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw LockstepError("\(path): offset 4: impossible extents \(extents)") }
      count = product
    }
    guard bytes.count - headerBytes == count else {
      throw LockstepError(
        "\(path): offset \(headerBytes): expected \(count) bytes of values for the extents \(extents), found"
          + " \(bytes.count - headerBytes)")
    }
    values = bytes[headerBytes...]
  }
}
