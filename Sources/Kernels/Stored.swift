import CKernels

/// Where an activation is, or a gradient of one: as Floats, as the upper halves of Floats, which are bf16 numbers, or as
/// both. [n, C/b, P, b].
package struct Stored {
  package let floats: UnsafeMutablePointer<Float>?
  package let halves: UnsafeMutablePointer<UInt16>?

  package init(_ floats: UnsafeMutablePointer<Float>?, halves: UnsafeMutablePointer<UInt16>? = nil) {
    (self.floats, self.halves) = (floats, halves)
  }

  package static func + (start: Stored, elements: Int) -> Stored {
    Stored(start.floats.map { $0 + elements }, halves: start.halves.map { $0 + elements })
  }

  /// Rounds Floats in place and puts them where 16-bit numbers are kept, if they are.
  package func round(count: Int) {
    if let floats, let halves { BFloat16.round(floats, keeping: halves, count: count) }
  }

  /// Whether an element is infinite or not a number.
  package func hasNonFinite(count: Int) -> Bool {
    if let floats { return Elementwise.hasNonFinite(floats, count: count) }
    let largest: UInt16 = 0x7F7F
    return UnsafeBufferPointer(start: halves, count: count).contains { $0 & 0x7FFF > largest }
  }

  var place: activation { activation(floats: floats, halves: halves) }
}

extension Stored? {
  var place: activation { self?.place ?? activation(floats: nil, halves: nil) }
}
