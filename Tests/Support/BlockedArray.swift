import Kernels
import Tensors

/// A plain array [N, C, H, W] in a layout's memory, the padding filled with a number of its own.
package struct BlockedArray: Sendable {
  package let layout: ActivationLayout
  package let samples: Int
  package let buffer: AlignedBuffer<Float>

  package init(_ plain: [Float], _ layout: ActivationLayout, padding: Float = 0) {
    self.layout = layout
    samples = plain.count / layout.shape.count
    buffer = AlignedBuffer(count: samples * layout.sampleStride)
    buffer.elements.update(repeating: padding)
    for (i, value) in plain.enumerated() { buffer.start[index(i)] = value }
  }

  package var start: UnsafeMutablePointer<Float> { buffer.start }

  package var plain: [Float] { (0..<samples * layout.shape.count).map { buffer.start[index($0)] } }

  private func index(_ element: Int) -> Int {
    let (sample, inSample) = element.quotientAndRemainder(dividingBy: layout.shape.count)
    return sample * layout.sampleStride + layout.index(ofPlain: inSample)
  }
}
