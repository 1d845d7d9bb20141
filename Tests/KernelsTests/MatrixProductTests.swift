import Kernels
import Support
import Tensors
import Testing

/// Matrix products against the definition in Double.
@Suite struct MatrixProductTests {
  private static let block = InstructionSet.channelBlock

  private func buffer(_ count: Int, _ number: Int) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: count)
    buffer.start.update(from: LayerRun.random(count, number: number), count: count)
    return buffer
  }

  /// Every remainder of rows, of strips and of the steps of a pass; several blocks of rows.
  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 200], [1, 8, 255, 256, 600])
  func products(rows: Int, inner: Int) {
    for blocks in [1, 2, 5] {
      let columns = blocks * Self.block
      let a = buffer(rows * inner, 0)
      let b = buffer(inner * columns, 1)
      for (isTransposed, adds) in [(false, false), (true, false), (false, true)] {
        let c = buffer(rows * columns, 2)
        let before = Array(c.elements)
        MatrixProduct.multiply(
          isTransposed ? Matrix(a.start, stride: rows).transposed : Matrix(a.start, stride: inner),
          Matrix(b.start, stride: columns), rows: rows, columns: columns, inner: inner, adds: adds,
          into: Matrix(c.start, stride: columns))
        let expected = (0..<rows * columns).map { i in
          let (r, k) = i.quotientAndRemainder(dividingBy: columns)
          let sum = (0..<inner).reduce(0.0) {
            $0 + Double(a.start[isTransposed ? $1 * rows + r : r * inner + $1]) * Double(b.start[$1 * columns + k])
          }
          return Float(adds ? Double(before[i]) + sum : sum)
        }
        #expect(relativeError(Array(c.elements), expected) < 1e-6, "\(columns) columns, \(isTransposed), \(adds)")
      }
    }
  }

  /// Where strips hold an element, by the definition: [columns / width, rows, width], the last one as wide as it must be.
  private func place(_ row: Int, _ column: Int, in rows: Int, _ columns: Int) -> Int {
    let full = Self.block == 16 ? 64 : 16
    let strip = column / full
    return strip * rows * full + row * min(full, columns - strip * full) + column % full
  }

  /// Rows that fill no block end in zeros; shares make up the whole.
  @Test(arguments: [1, 15, 16, 40, 64, 130], [1, 3, 4, 7]) func transpose(rows: Int, blocks: Int) {
    let columns = blocks * Self.block
    let padded = (rows + Self.block - 1) / Self.block * Self.block
    let (strips, turned) = (buffer(rows * columns, 0), buffer(columns * padded, 1))
    for index in 0..<3 {
      Matrix(strips: strips.start, rows: rows, columns: columns).transpose(
        rows: rows, columns: columns, into: Matrix(strips: turned.start, rows: columns, columns: padded),
        Share(index, of: 3))
    }
    var isEqual = true
    for r in 0..<padded {
      for k in 0..<columns {
        let expected = r < rows ? strips.start[place(r, k, in: rows, columns)] : 0
        isEqual = isEqual && turned.start[place(k, r, in: columns, padded)] == expected
      }
    }
    #expect(isEqual)
  }

  /// Strips hold the same elements in another order, and give the same bits.
  @Test(arguments: [1, 3, 4, 7]) func strips(blocks: Int) {
    let (rows, inner, columns) = (11, 37, blocks * Self.block)
    let (a, b) = (buffer(rows * inner, 0), buffer(inner * columns, 1))
    let strips = AlignedBuffer<Float>(count: inner * columns)
    for p in 0..<inner {
      for k in 0..<columns { strips.start[place(p, k, in: inner, columns)] = b.start[p * columns + k] }
    }
    let (plain, striped) = (AlignedBuffer<Float>(count: rows * columns), AlignedBuffer<Float>(count: rows * columns))
    MatrixProduct.multiply(
      Matrix(a.start, stride: inner), Matrix(b.start, stride: columns), rows: rows, columns: columns, inner: inner,
      adds: false, into: Matrix(plain.start, stride: columns))
    MatrixProduct.multiply(
      Matrix(a.start, stride: inner), Matrix(strips: strips.start, rows: inner, columns: columns), rows: rows,
      columns: columns, inner: inner, adds: false, into: Matrix(strips: striped.start, rows: rows, columns: columns))
    var isEqual = true
    for r in 0..<rows {
      for k in 0..<columns {
        isEqual = isEqual && striped.start[place(r, k, in: rows, columns)] == plain.start[r * columns + k]
      }
    }
    #expect(isEqual)
  }

  /// A row has the same bits in any company: slices may be cut anywhere.
  @Test func rowsDoNotDependOnTheirNumber() {
    let (rows, inner, columns) = (23, 300, 3 * Self.block)
    let (a, b) = (buffer(rows * inner, 0), buffer(inner * columns, 1))
    func product(_ first: Int, _ count: Int) -> [UInt32] {
      let c = AlignedBuffer<Float>(count: count * columns)
      MatrixProduct.multiply(
        Matrix(a.start + first * inner, stride: inner), Matrix(b.start, stride: columns), rows: count, columns: columns,
        inner: inner, adds: false, into: Matrix(c.start, stride: columns))
      return c.elements.map(\.bitPattern)
    }
    let whole = product(0, rows)
    for cut in 1..<rows { #expect(product(0, cut) + product(cut, rows - cut) == whole, "cut after \(cut)") }
  }
}
