/// Adds up rows of a table in a schedule's order.
package enum TreeSum {
  /// Columns per pass: the stack of partial sums stays in the first-level cache, and off the heap.
  private static let chunk = 8

  /// results = the rows, one per source of the schedule, added up; a row of results for each node that remains.
  @_specialize(where Element == Double)
  @_specialize(where Element == Float)
  package static func add<Element: FloatingPoint & SIMDScalar & BitwiseCopyable>(
    _ schedule: SumSchedule, rows: UnsafePointer<Element>, width: Int, into results: UnsafeMutablePointer<Element>
  ) {
    let resultCount = schedule.results.count
    schedule.merges.withUnsafeBufferPointer { merges in
      withUnsafeTemporaryAllocation(of: SIMD8<Element>.self, capacity: max(schedule.slotCount, 1)) { stack in
        let bottom = stack.baseAddress!
        for column in stride(from: 0, to: width, by: chunk) {
          let count = min(chunk, width - column)
          var (row, top) = (rows + column, bottom - 1)
          for mergeCount in merges {
            top += 1
            top.initialize(to: load(row, count))
            row += width
            for _ in 0..<mergeCount {
              top -= 1
              top[0] += top[1]
            }
          }
          for result in 0..<resultCount { store(bottom[result], to: results + result * width + column, count) }
        }
      }
    }
  }

  @inline(__always)
  private static func load<Element: SIMDScalar & BitwiseCopyable>(
    _ x: UnsafePointer<Element>, _ count: Int
  ) -> SIMD8<Element> {
    if count == chunk { return UnsafeRawPointer(x).loadUnaligned(as: SIMD8<Element>.self) }
    var vector = SIMD8(repeating: x[0])
    for i in 1..<count { vector[i] = x[i] }
    return vector
  }

  @inline(__always)
  private static func store<Element: SIMDScalar & BitwiseCopyable>(
    _ vector: SIMD8<Element>, to x: UnsafeMutablePointer<Element>, _ count: Int
  ) {
    if count == chunk { return UnsafeMutableRawPointer(x).storeBytes(of: vector, as: SIMD8<Element>.self) }
    for i in 0..<count { x[i] = vector[i] }
  }
}
