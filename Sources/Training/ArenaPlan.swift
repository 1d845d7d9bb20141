/// Places buffers in one arena so that those alive at the same time do not overlap.
package struct ArenaPlan: Sendable {
  /// A buffer: its size, and when it is alive.
  package struct Buffer: Sendable {
    let count: Int
    let lifetimes: [ClosedRange<Int>]

    package init(count: Int, lifetimes: [ClosedRange<Int>]) {
      self.count = count
      self.lifetimes = lifetimes
    }

    func overlaps(_ other: Buffer) -> Bool {
      lifetimes.contains { mine in other.lifetimes.contains { mine.overlaps($0) } }
    }
  }

  /// Each buffer's place.
  package let offsets: [Int]
  /// The arena's size.
  package let count: Int

  /// Largest first, each at the lowest place that is free during its lifetime. Places are multiples of 16 elements.
  package init(_ buffers: [Buffer]) {
    var offsets = [Int](repeating: 0, count: buffers.count)
    var placed: [Int] = []
    var end = 0
    for index in buffers.indices.sorted(by: { (buffers[$1].count, $0) < (buffers[$0].count, $1) }) {
      let buffer = buffers[index]
      var offset = 0
      for other in placed.filter({ buffers[$0].overlaps(buffer) }).sorted(by: { offsets[$0] < offsets[$1] }) {
        if offset + buffer.count <= offsets[other] { break }
        offset = max(offset, (offsets[other] + buffers[other].count + 15) & ~15)
      }
      offsets[index] = offset
      end = max(end, offset + buffer.count)
      placed.append(index)
    }
    self.offsets = offsets
    count = end
  }
}
