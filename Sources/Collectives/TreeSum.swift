/// Adds up arrays in a schedule's order.
package enum TreeSum {
  /// Elements per pass: the stack of partial sums stays in the first-level cache.
  private static let chunk = 512

  /// Adds `sources[i][range]` for all i in the schedule's order.
  ///
  /// - Parameters:
  ///   - sources: one array per source of the schedule.
  ///   - range: the elements to add.
  ///   - emit: called with each run of finished elements: the result's number, the offset in the arrays, the sums.
  @_specialize(where Element == Float)
  @_specialize(where Element == Double)
  package static func fold<Element: FloatingPoint & BitwiseCopyable>(
    _ schedule: SumSchedule, _ sources: [UnsafePointer<Element>], _ range: Range<Int>,
    emit: (_ result: Int, _ offset: Int, _ sums: UnsafeBufferPointer<Element>) -> Void
  ) {
    foldChunks(schedule, { sources[$0] }, range, emit)
  }

  /// sum = the rows, added up in the order of a schedule that leaves one result.
  package static func sum<Element: FloatingPoint & BitwiseCopyable>(
    _ schedule: SumSchedule, rows: UnsafePointer<Element>, width: Int, into sum: UnsafeMutablePointer<Element>
  ) {
    fold(schedule, rows: rows, width: width) { _, offset, sums in
      (sum + offset).update(from: sums.baseAddress!, count: sums.count)
    }
  }

  /// The same of the rows of a table, `width` elements each.
  package static func fold<Element: FloatingPoint & BitwiseCopyable>(
    _ schedule: SumSchedule, rows: UnsafePointer<Element>, width: Int,
    emit: (_ result: Int, _ offset: Int, _ sums: UnsafeBufferPointer<Element>) -> Void
  ) {
    foldChunks(schedule, { rows + $0 * width }, 0..<width, emit)
  }

  @_specialize(where Element == Float)
  @_specialize(where Element == Double)
  private static func foldChunks<Element: FloatingPoint & BitwiseCopyable>(
    _ schedule: SumSchedule, _ source: (Int) -> UnsafePointer<Element>, _ range: Range<Int>,
    _ emit: (_ result: Int, _ offset: Int, _ sums: UnsafeBufferPointer<Element>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: Element.self, capacity: chunk * max(schedule.slotCount, 1)) { stack in
      withUnsafeTemporaryAllocation(of: UnsafePointer<Element>.self, capacity: max(schedule.slotCount, 1)) { tops in
        var offset = range.lowerBound
        while offset < range.upperBound {
          let count = min(chunk, range.upperBound - offset)
          // A slot holds a source as it lies there, until something is added to it.
          for step in schedule.steps {
            switch step {
            case .place(let number, let slot): tops[slot] = source(number) + offset
            case .merge(let slot):
              let sum = stack.baseAddress! + slot * chunk
              add(tops[slot], tops[slot + 1], into: sum, count: count)
              tops[slot] = UnsafePointer(sum)
            }
          }
          for result in 0..<schedule.results.count { emit(result, offset, .init(start: tops[result], count: count)) }
          offset += count
        }
      }
    }
  }

  /// sum[i] = a[i] + b[i]; sum may be a or b.
  @inline(__always)
  static func add<Element: FloatingPoint>(
    _ a: UnsafePointer<Element>, _ b: UnsafePointer<Element>, into sum: UnsafeMutablePointer<Element>, count: Int
  ) {
    for i in 0..<count { sum[i] = a[i] + b[i] }
  }
}
