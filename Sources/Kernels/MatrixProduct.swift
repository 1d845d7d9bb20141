import COneDNN

/// A row-major matrix, possibly to be read as its transpose.
package struct Matrix {
  let start: UnsafePointer<Float>
  let stride: Int
  let isTransposed: Bool

  /// - Parameter stride: the distance between rows, in elements.
  package init(_ start: UnsafePointer<Float>, stride: Int, isTransposed: Bool = false) {
    self.start = start
    self.stride = stride
    self.isTransposed = isTransposed
  }

  /// The same elements, rows and columns exchanged.
  package var transposed: Matrix { Matrix(start, stride: stride, isTransposed: !isTransposed) }

  fileprivate var flag: CChar { CChar(UInt8(ascii: isTransposed ? "T" : "N")) }
}

/// Matrix products, by oneDNN's `dnnl_sgemm`.
package enum MatrixProduct {
  /// c = a b + beta c, where a is [rows, inner], b is [inner, columns] and c is [rows, columns].
  package static func multiply(
    _ a: Matrix, _ b: Matrix, rows: Int, columns: Int, inner: Int, beta: Float, _ c: UnsafeMutablePointer<Float>,
    stride: Int
  ) {
    OneDNN.check(
      dnnl_sgemm(
        a.flag, b.flag, dnnl_dim_t(rows), dnnl_dim_t(columns), dnnl_dim_t(inner), 1, a.start, dnnl_dim_t(a.stride),
        b.start, dnnl_dim_t(b.stride), beta, c, dnnl_dim_t(stride)), "dnnl_sgemm")
  }
}
