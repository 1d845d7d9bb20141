import COneDNN
import Tensors

/// How a parameter lies in memory: the layout its kernels want, against the plain one that files hold.
///
/// The optimizer is elementwise, so parameters, gradients and momenta all live in the kernels' layout; only loading and
/// saving translate. Blocked layouts pad channels with zeros, which stay zero: gradients of the padding are zero.
package final class WeightLayout: Sendable {
  /// The plain, row-major shape.
  package let shape: [Int]
  /// Elements in the kernels' layout, including padding.
  package let count: Int

  private let order: Order

  private enum Order: Sendable {
    case plain
    /// Of a matrix, its transpose in strips.
    case transposedStrips
    case kernel(pack: Primitive, unpack: Primitive)
  }

  /// A parameter whose kernels take it as it is; `count` may add padding at the end.
  package init(plain shape: [Int], paddedCount: Int? = nil) {
    self.shape = shape
    count = paddedCount ?? shape.reduce(1, *)
    order = .plain
  }

  /// A matrix whose transpose lies in `Matrix`'s strips.
  package init(transposedStrips shape: [Int]) {
    self.shape = shape
    count = shape[1] * Self.wholeBlocks(shape[0])
    order = .transposedStrips
  }

  /// A parameter of the shape of one sample, laid out like that.
  package convenience init(sample layout: ActivationLayout) {
    let shape = layout.shape
    self.init(
      shape: [shape.channels, shape.height, shape.width],
      plain: OneDNN.descriptor(ActivationLayout(shape: shape, block: 1), samples: 1),
      kernel: OneDNN.descriptor(layout, samples: 1))
  }

  private static func wholeBlocks(_ count: Int) -> Int {
    let block = InstructionSet.channelBlock
    return (count + block - 1) / block * block
  }

  /// Hands over where each element of a matrix lies, row by row and in the strips of its transpose.
  private func forEachElement(_ body: (_ plain: Int, _ packed: Int) -> Void) {
    let (rows, columns, most) = (shape[0], shape[1], Matrix.stripWidth)
    let padded = Self.wholeBlocks(rows)
    for first in stride(from: 0, to: rows, by: most) {
      let width = min(most, padded - first)
      for row in first..<min(first + width, rows) {
        for column in 0..<columns { body(row * columns + column, first * columns + column * width + row - first) }
      }
    }
  }

  init(shape: [Int], plain: dnnl_memory_desc_t, kernel: dnnl_memory_desc_t) {
    self.shape = shape
    count = withUnsafePointer(to: kernel) { dnnl_memory_desc_get_size($0) } / MemoryLayout<Float>.size
    order = .kernel(
      pack: Reorder.primitive(from: plain, to: kernel), unpack: Reorder.primitive(from: kernel, to: plain))
  }

  /// Copies from the plain layout.
  package func pack(_ plain: UnsafePointer<Float>, to packed: UnsafeMutablePointer<Float>, _ context: KernelContext) {
    switch order {
    case .plain: packed.update(from: plain, count: shape.reduce(1, *))
    case .transposedStrips: forEachElement { packed[$1] = plain[$0] }
    case .kernel(let pack, _): context.run(pack, plain, packed)
    }
  }

  /// Copies to the plain layout.
  package func unpack(_ packed: UnsafePointer<Float>, to plain: UnsafeMutablePointer<Float>, _ context: KernelContext) {
    switch order {
    case .plain: plain.update(from: packed, count: shape.reduce(1, *))
    case .transposedStrips: forEachElement { plain[$0] = packed[$1] }
    case .kernel(_, let unpack): context.run(unpack, packed, plain)
    }
  }
}

/// Copies from one layout to another.
package enum Reorder {
  static func primitive(from source: dnnl_memory_desc_t, to destination: dnnl_memory_desc_t) -> Primitive {
    Primitive(
      PrimitiveDescriptor(reorder: source, to: destination), [(DNNL_ARG_FROM, source), (DNNL_ARG_TO, destination)])
  }

  /// Copies `samples` samples from one layout to another of the same shape.
  package static func primitive(from source: ActivationLayout, to destination: ActivationLayout, samples: Int)
    -> Primitive
  {
    primitive(
      from: OneDNN.descriptor(source, samples: samples), to: OneDNN.descriptor(destination, samples: samples))
  }
}
