import CKernels

/// A matrix in memory: row-major, the transpose of that, or in strips of columns.
package struct Matrix {
  let start: UnsafePointer<Float>
  let rowsApart: Int
  let columnsApart: Int
  let stripsApart: Int

  /// Columns per strip: two vectors.
  package static var stripWidth: Int { 2 * InstructionSet.channelBlock }

  /// A row-major matrix.
  ///
  /// - Parameter stride: the distance between rows, in elements.
  package init(_ start: UnsafePointer<Float>, stride: Int) {
    self.init(start, rowsApart: stride, columnsApart: 1, stripsApart: Self.stripWidth)
  }

  /// [columns / width, rows, width]: each strip of columns in one piece, as products read their second factor fastest.
  package init(strips start: UnsafePointer<Float>, rows: Int) {
    self.init(start, rowsApart: Self.stripWidth, columnsApart: 1, stripsApart: rows * Self.stripWidth)
  }

  private init(_ start: UnsafePointer<Float>, rowsApart: Int, columnsApart: Int, stripsApart: Int) {
    self.start = start
    self.rowsApart = rowsApart
    self.columnsApart = columnsApart
    self.stripsApart = stripsApart
  }

  /// The same elements, rows and columns exchanged; of a row-major matrix.
  package var transposed: Matrix {
    Matrix(start, rowsApart: columnsApart, columnsApart: rowsApart, stripsApart: stripsApart)
  }
}

/// Matrix products.
///
/// Our own, because a row of the result must have the same bits however many rows are computed with it: `dnnl_sgemm`
/// blocks its loops by all three extents, and takes several times as long for the eight rows of a small shard.
package enum MatrixProduct {
  /// c = a b, or c += a b if it `adds`; a is [rows, inner], b [inner, columns], c [rows, columns].
  ///
  /// - Parameters:
  ///   - c: overwritten, although its type says otherwise.
  ///   - columns: a multiple of the instruction set's block of channels.
  package static func multiply(
    _ a: Matrix, _ b: Matrix, rows: Int, columns: Int, inner: Int, adds: Bool, into c: Matrix
  ) {
    matrix_multiply(
      Int32(InstructionSet.channelBlock), a.start, a.rowsApart, a.columnsApart, b.start, b.stripsApart, b.rowsApart,
      UnsafeMutablePointer(mutating: c.start), c.stripsApart, c.rowsApart, rows, columns, inner, adds ? 1 : 0)
  }
}
