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

  /// Where the transpose of a matrix [rows, columns] has an element, in strips.
  private func index(_ row: Int, _ column: Int) -> Int {
    Matrix.index(inStrips: shape[1], Self.wholeBlocks(shape[0]), row: column, column: row)
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
    case .transposedStrips:
      for row in 0..<shape[0] {
        for column in 0..<shape[1] { packed[index(row, column)] = plain[row * shape[1] + column] }
      }
    case .kernel(let pack, _): context.run(pack, plain, packed)
    }
  }

  /// Copies to the plain layout.
  package func unpack(_ packed: UnsafePointer<Float>, to plain: UnsafeMutablePointer<Float>, _ context: KernelContext) {
    switch order {
    case .plain: plain.update(from: packed, count: shape.reduce(1, *))
    case .transposedStrips:
      for row in 0..<shape[0] {
        for column in 0..<shape[1] { plain[row * shape[1] + column] = packed[index(row, column)] }
      }
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
