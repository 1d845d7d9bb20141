import Kernels

/// A slice's vectors [N, length] in panels of columns, as factors of products.
///
/// Panels narrower than the vectors are copies, [length / width, N, width], each in one piece. Where they are, wide vectors
/// may lie whole pages apart; then they fall on the same places of the nearest cache and drive each other out of it.
struct Panels {
  private let start: UnsafePointer<Float>
  /// The distance between vectors that are not copied.
  private let stride: Int
  private let length, width, count: Int

  /// - Parameter area: where copies go.
  init(of vectors: UnsafePointer<Float>, stride: Int, length: Int, width: Int, _ slice: Slice, area: Int) {
    (self.stride, self.length, self.width, count) = (stride, length, width, slice.count)
    guard width < length else {
      start = vectors
      return
    }
    let copies = slice.kernels.area(area, slice.count * length)
    start = UnsafePointer(copies)
    forEach { first, width in
      for vector in 0..<count {
        (copies + first * count + vector * width).update(from: vectors + vector * stride + first, count: width)
      }
    }
  }

  /// Hands over each panel's first column, its width, and the panel, [N, width].
  func forEach(_ body: (_ first: Int, _ width: Int, _ panel: Matrix) -> Void) {
    forEach { first, width in
      body(first, width, Matrix(start + first * count, stride: self.width < length ? width : stride))
    }
  }

  private func forEach(_ body: (_ first: Int, _ width: Int) -> Void) {
    for first in Swift.stride(from: 0, to: length, by: width) { body(first, min(width, length - first)) }
  }
}
