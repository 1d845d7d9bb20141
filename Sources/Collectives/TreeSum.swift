/// Adds up rows of a table in a schedule's order.
package enum TreeSum {
  /// Elements per pass: the stack of partial sums stays in the first-level cache.
  private static let chunk = 512

  /// sum = the rows, added up in the order of a schedule that leaves one result.
  @_specialize(where Element == Double)
  package static func sum<Element: FloatingPoint & BitwiseCopyable>(
    _ schedule: SumSchedule, rows: UnsafePointer<Element>, width: Int, into sum: UnsafeMutablePointer<Element>
  ) {
    fold(schedule, rows: rows, width: width) { _, offset, sums in
      (sum + offset).update(from: sums.baseAddress!, count: sums.count)
    }
  }

  /// Adds up the rows in the order of a schedule that may leave several results.
  ///
  /// - Parameters:
  ///   - rows: one per source of the schedule, `width` elements each.
  ///   - emit: called with each run of finished elements: the result's number, the offset in the row, the sums.
  @_specialize(where Element == Double)
  package static func fold<Element: FloatingPoint & BitwiseCopyable>(
    _ schedule: SumSchedule, rows: UnsafePointer<Element>, width: Int,
    emit: (_ result: Int, _ offset: Int, _ sums: UnsafeBufferPointer<Element>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: Element.self, capacity: chunk * max(schedule.slotCount, 1)) { stack in
      withUnsafeTemporaryAllocation(of: UnsafePointer<Element>.self, capacity: max(schedule.slotCount, 1)) { tops in
        for offset in stride(from: 0, to: width, by: chunk) {
          let count = min(chunk, width - offset)
          // A slot holds a row as it lies there, until something is added to it.
          for step in schedule.steps {
            switch step {
            case .place(let number, let slot): tops[slot] = rows + number * width + offset
            case .merge(let slot):
              let sum = stack.baseAddress! + slot * chunk
              let (below, top) = (tops[slot], tops[slot + 1])
              for i in 0..<count { sum[i] = below[i] + top[i] }
              tops[slot] = UnsafePointer(sum)
            }
          }
          for result in 0..<schedule.results.count { emit(result, offset, .init(start: tops[result], count: count)) }
        }
      }
    }
  }
}
