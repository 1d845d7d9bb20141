import CKernels

/// A matrix in memory, row-major or the transpose of one.
package struct Matrix {
  let start: UnsafePointer<Float>
  let rowsApart: Int
  let columnsApart: Int

  /// A row-major matrix.
  ///
  /// - Parameter stride: the distance between rows, in elements.
  package init(_ start: UnsafePointer<Float>, stride: Int) {
    self.init(start, rowsApart: stride, columnsApart: 1)
  }

  private init(_ start: UnsafePointer<Float>, rowsApart: Int, columnsApart: Int) {
    self.start = start
    self.rowsApart = rowsApart
    self.columnsApart = columnsApart
  }

  /// The same elements, rows and columns exchanged.
  package var transposed: Matrix { Matrix(start, rowsApart: columnsApart, columnsApart: rowsApart) }
}

/// Matrix products.
///
/// Our own, because a row of the result must have the same bits however many rows are computed with it: `dnnl_sgemm`
/// blocks its loops by all three extents, and takes several times as long for the eight rows of a small shard.
package enum MatrixProduct {
  /// c = a b, or c += a b if it `adds`; a is [rows, inner], b [inner, columns] row-major, c [rows, columns] row-major.
  ///
  /// - Parameter columns: a multiple of the instruction set's block of channels.
  package static func multiply(
    _ a: Matrix, _ b: Matrix, rows: Int, columns: Int, inner: Int, adds: Bool, _ c: UnsafeMutablePointer<Float>,
    stride: Int
  ) {
    matrix_multiply(
      Int32(InstructionSet.channelBlock), a.start, a.rowsApart, a.columnsApart, b.start, b.rowsApart, c, stride, rows,
      columns, inner, adds ? 1 : 0)
  }
}
