import CKernels

/// Adds up rows of a table in a schedule's order.
package enum TreeSum {
  /// sums = the rows, one per source of the schedule, added up; a row of sums for each node that remains.
  package static func add(
    _ schedule: SumSchedule, rows: UnsafePointer<Double>, width: Int, into sums: UnsafeMutablePointer<Double>
  ) {
    schedule.merges.withUnsafeBufferPointer { add_rows(rows, width, $0.baseAddress, $0.count, sums) }
  }
}
