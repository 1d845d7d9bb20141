import CKernels

/// A matrix in memory: row-major, the transpose of that, or in strips of columns.
package struct Matrix {
  fileprivate let view: matrix

  /// Columns per strip, as many as a product keeps in registers.
  package static var stripWidth: Int { Int(matrix_strip(Int32(InstructionSet.channelBlock))) }

  /// A row-major matrix.
  ///
  /// - Parameter stride: the distance between rows, in elements.
  package init(_ start: UnsafePointer<Float>, stride: Int) {
    self.init(start, rowsApart: stride, stripsApart: Self.stripWidth, lastRowsApart: stride)
  }

  /// [columns / width, rows, width]: each strip of columns in one piece, as products read their second factor fastest.
  ///
  /// A last strip may be narrower.
  package init(strips start: UnsafePointer<Float>, rows: Int, columns: Int) {
    self.init(
      start, rowsApart: Self.stripWidth, stripsApart: rows * Self.stripWidth, lastRowsApart: columns % Self.stripWidth)
  }

  private init(
    _ start: UnsafePointer<Float>, rowsApart: Int, columnsApart: Int = 1, stripsApart: Int, lastRowsApart: Int
  ) {
    view = matrix(
      start: UnsafeMutablePointer(mutating: start), rows_apart: rowsApart, columns_apart: columnsApart,
      strips_apart: stripsApart, last_rows_apart: lastRowsApart)
  }

  /// A row-major matrix without its first rows.
  package func dropFirst(_ rows: Int) -> Matrix { Matrix(view.start + rows * view.rows_apart, stride: view.rows_apart) }

  /// The same elements, rows and columns exchanged; of a row-major matrix that is a first factor.
  package var transposed: Matrix {
    Matrix(
      view.start, rowsApart: view.columns_apart, columnsApart: view.rows_apart, stripsApart: view.strips_apart,
      lastRowsApart: view.last_rows_apart)
  }

  /// Writes the transpose, [columns, rows rounded up to whole blocks of channels], zero where this matrix ends.
  ///
  /// - Parameters:
  ///   - columns: a multiple of the instruction set's block of channels.
  ///   - transpose: overwritten, although its type says otherwise.
  ///   - share: which of the blocks of rows to write.
  package func transpose(rows: Int, columns: Int, into transpose: Matrix, _ share: Share) {
    let block = InstructionSet.channelBlock
    let blocks = share.range(of: (rows + block - 1) / block)
    withUnsafePointer(to: view) { from in
      withUnsafePointer(to: transpose.view) { to in
        matrix_transpose(
          Int32(block), from, to, rows, columns, blocks.lowerBound * block, min(blocks.upperBound * block, rows))
      }
    }
  }
}

/// Matrix products.
///
/// Our own, because a row of the result must have the same bits however many rows are computed with it: `dnnl_sgemm`
/// blocks its loops by all three extents, and takes several times as long for the eight rows of a small shard.
package enum MatrixProduct {
  /// Rows of the first factor that stay in the second-level cache while all strips of the second go by.
  package static func rowsAtOnce(of rows: Int) -> Int { matrix_rows_at_once(rows) }

  /// The most steps (`inner`) whose sum is added to c as one.
  package static var stepsAddedAtOnce: Int { Int(MATRIX_PASS) }

  /// c = a b, or c += a b if it `adds`; a is [rows, inner], b [inner, columns], c [rows, columns].
  ///
  /// - Parameters:
  ///   - c: overwritten, although its type says otherwise.
  ///   - columns: a multiple of the instruction set's block of channels.
  package static func multiply(
    _ a: Matrix, _ b: Matrix, rows: Int, columns: Int, inner: Int, adds: Bool, into c: Matrix
  ) {
    withUnsafePointer(to: a.view) { a in
      withUnsafePointer(to: b.view) { b in
        withUnsafePointer(to: c.view) { c in
          matrix_multiply(Int32(InstructionSet.channelBlock), a, b, c, rows, columns, inner, adds ? 1 : 0)
        }
      }
    }
  }
}
