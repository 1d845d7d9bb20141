/// One of equal parts of something that workers divide among themselves.
package struct Share: Sendable {
  /// Which part.
  package let index: Int
  /// How many there are.
  package let count: Int

  package init(_ index: Int, of count: Int) {
    self.index = index
    self.count = count
  }

  /// The part of a run of indices from 0 on.
  package func range(of total: Int) -> Range<Int> { total * index / count..<total * (index + 1) / count }
}
