import CKernels

/// Memory that a worker's next kernels will read, and that has left the cache since it was written.
///
/// Kernels that are busy multiplying have it brought in: Winograd's, where the time goes.
package final class ReadAhead {
  private static let capacity = 8
  /// Those yet to be read, an empty one behind them.
  let stretches = UnsafeMutablePointer<stretch>.allocate(capacity: capacity + 1)
  private var count = 0

  init() { forget() }

  deinit { stretches.deallocate() }

  /// Nothing more will be read.
  package func forget() {
    count = 0
    stretches[0] = stretch(next: nil, end: nil)
  }

  /// Reads some memory behind what has been named before; beyond a number of stretches it is left where it is.
  package func add(_ start: UnsafeRawPointer, bytes: Int) {
    guard count < Self.capacity else { return }
    let start = start.assumingMemoryBound(to: CChar.self)
    stretches[count] = stretch(next: start, end: start + bytes)
    count += 1
    stretches[count] = stretch(next: nil, end: nil)
  }

  /// The memory not yet read.
  package var remaining: [UnsafeRawBufferPointer] {
    (0..<count).map { stretches[$0] }.filter { $0.next < $0.end }
      .map { UnsafeRawBufferPointer(start: $0.next, count: $0.end - $0.next) }
  }
}
