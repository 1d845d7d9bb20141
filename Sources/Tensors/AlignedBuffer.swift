import Foundation

/// Memory of fixed size, aligned to cache lines and initially zero.
///
/// The system provides it as it is first written to, on the memory of the CPU that writes; what is never written costs
/// nothing.
///
/// Sendable because the buffer itself never changes; who may touch which element, and when, is the business of its
/// users: workers write disjoint parts and meet at a barrier before they read each other's.
package final class AlignedBuffer<Element: BitwiseCopyable>: @unchecked Sendable {
  package let count: Int
  package let start: UnsafeMutablePointer<Element>
  private let allocation: UnsafeMutableRawPointer

  /// One cache line, and one AVX-512 register.
  package static var alignment: Int { 64 }

  package init(count: Int) {
    self.count = count
    let bytes = max(count, 1) * MemoryLayout<Element>.stride
    guard let allocation = calloc(1, bytes + Self.alignment) else {
      invariantFailure("there are no \(bytes) bytes of memory to be had")
    }
    self.allocation = allocation
    start = allocation.alignedUp(toMultipleOf: Self.alignment).bindMemory(to: Element.self, capacity: max(count, 1))
  }

  deinit { free(allocation) }

  package var elements: UnsafeMutableBufferPointer<Element> { .init(start: start, count: count) }
  package var bytes: UnsafeMutableRawBufferPointer { .init(elements) }
}

/// The smallest multiple of a cache line's Floats that holds `count` of them.
package func paddedCount(_ count: Int) -> Int { (count + 15) & ~15 }
