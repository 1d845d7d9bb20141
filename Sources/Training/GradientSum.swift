import Collectives
import Kernels

/// Arrays of gradients that a worker adds up in the order of the shard tree, in place: nobody reads them afterwards.
package struct GradientSum {
  /// sum = left + right
  private struct Addition {
    let left, right, sum: UnsafeMutablePointer<Float>
  }

  private let additions: [Addition]
  /// Where the schedule's results then are.
  private let results: [UnsafeMutablePointer<Float>]
  /// Those of other workers' arrays into which no sum goes.
  package let untouched: [UnsafeMutablePointer<Float>]
  /// Elements per pass, that stay in the first-level cache until they are used.
  private static let chunk = 512

  /// - Parameters:
  ///   - arrays: the schedule's sources, from where the flat array of all parameters would start.
  ///   - own: those among them that the worker has written itself.
  package init(_ schedule: SumSchedule, _ arrays: [UnsafeMutablePointer<Float>], own: [UnsafeMutablePointer<Float>]) {
    var additions: [Addition] = []
    var slots: [UnsafeMutablePointer<Float>] = []
    var untouched = arrays.filter { !own.contains($0) }
    for step in schedule.steps {
      switch step {
      case .place(let source, _): slots.append(arrays[source])
      case .merge:
        let right = slots.removeLast()
        let left = slots.removeLast()
        // Where another worker writes next: the lines are then in one cache. Where two had read them, that would take up to
        // four times as long.
        let sum = untouched.contains(right) ? right : left
        untouched.removeAll { $0 == sum }
        additions.append(Addition(left: left, right: right, sum: sum))
        slots.append(sum)
      }
    }
    (self.additions, results, self.untouched) = (additions, slots, untouched)
  }

  /// Adds up a range of the arrays.
  ///
  /// - Parameter body: called with each run of finished elements: the result's number, the offset in the arrays, the sums.
  package func addUp(
    _ range: Range<Int>, _ body: (_ result: Int, _ offset: Int, _ sums: UnsafeBufferPointer<Float>) -> Void
  ) {
    for offset in stride(from: range.lowerBound, to: range.upperBound, by: Self.chunk) {
      let count = min(Self.chunk, range.upperBound - offset)
      for addition in additions {
        Elementwise.add(addition.left + offset, addition.right + offset, into: addition.sum + offset, count: count)
      }
      for (number, result) in results.enumerated() {
        body(number, offset, UnsafeBufferPointer(start: result + offset, count: count))
      }
    }
  }
}
