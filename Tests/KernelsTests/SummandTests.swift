import Kernels
import Support
import Tensors
import Testing

/// Gradients of several summands at once, against those made one by one and added up, to the last bit.
@Suite struct SummandTests {
  static let cases = [
    ConvolutionCase(samples: 16, inputs: 70, outputs: 90, height: 4, width: 4, hasBias: true),
    ConvolutionCase(samples: 16, inputs: 16, outputs: 130, height: 2, width: 2),
    ConvolutionCase(samples: 16, inputs: 130, outputs: 24, height: 1, width: 1, hasBias: true),
    ConvolutionCase(samples: 16, inputs: 100, outputs: 150, height: 6, width: 3, hasBias: true),
    ConvolutionCase(samples: 16, inputs: 80, outputs: 140, height: 8, width: 5, stride: 2, hasBias: true),
  ]

  /// Summands' samples, and how they add up.
  struct Sum: Sendable {
    let counts: [Int]
    let merges: [Int]
    var isReversed = false

    /// With samples numbered from the first summand's on, or from the last one's.
    var summands: [Summand] {
      let total = counts.reduce(0, +)
      var start = 0
      return zip(counts, merges).map { count, merges in
        defer { start += count }
        let first = isReversed ? total - start - count : start
        return Summand(first..<first + count, merges: merges)
      }
    }
  }

  static let sums = [
    Sum(counts: [3], merges: [0]),
    Sum(counts: [2, 1, 3, 1, 2, 1, 1], merges: [0, 1, 0, 2, 0, 1, 2]),
    Sum(counts: [1, 1, 2, 1, 3, 1, 2], merges: [0, 0, 2, 0, 1, 0, 3], isReversed: true),
    // As deep as sixteen can be.
    Sum(counts: .init(repeating: 1, count: 16), merges: [0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0, 4]),
  ]

  @Test(arguments: cases, sums) func bits(_ c: ConvolutionCase, _ sum: Sum) {
    for case .winograd(let tile) in c.geometry.algorithms(inBFloat16: false) {
      let kernel = ConvolutionKernel(
        c.geometry, ConvolutionAlgorithms(.winograd(tile: tile)), samples: c.samples, needsInputGradient: false)
      #expect(kernel.addsUp(samples: c.samples))
      let context = KernelContext()
      // What kernels read of their scratch memory they have written.
      context.area(0, 1 << 22).update(repeating: .nan, count: 1 << 22)
      let x = BlockedArray(LayerRun.random(c.samples * c.input.count, number: 0), c.geometry.input)
      let dy = BlockedArray(LayerRun.random(c.samples * c.output.count, number: 1), c.geometry.output)
      let width = kernel.weightLayout.count
      let before = LayerRun.random(width + c.geometry.output.paddedChannels, number: 2)
      for adds in [false, true] {
        func gradients(
          _ body: (_ dWeight: UnsafeMutablePointer<Float>, _ dBias: UnsafeMutablePointer<Float>) -> Void
        ) -> [Float] {
          let buffer = AlignedBuffer<Float>(count: before.count)
          buffer.start.update(from: before, count: before.count)
          body(buffer.start, buffer.start + width)
          return Array(buffer.elements.prefix(c.hasBias ? before.count : width))
        }
        let found = gradients { dWeight, dBias in
          sum.summands.withUnsafeBufferPointer { summands in
            kernel.backwardWeights(
              Stored(x.start), Stored(dy.start), dWeight: dWeight, dBias: dBias, adds: adds, summands: summands, context
            )
          }
        }
        var stack: [[Float]] = []
        for (number, summand) in sum.summands.enumerated() {
          stack.append(
            gradients { dWeight, dBias in
              kernel.backwardWeights(
                Stored(x.start) + summand.samples.lowerBound * c.geometry.input.sampleStride,
                Stored(dy.start) + summand.samples.lowerBound * c.geometry.output.sampleStride, dWeight: dWeight,
                dBias: dBias,
                adds: adds && number == 0, samples: summand.samples.count, context)
            })
          for _ in 0..<summand.merges {
            let last = stack.removeLast()
            stack[stack.count - 1] = zip(stack[stack.count - 1], last).map { $0 + $1 }
          }
        }
        #expect(stack == [found], "tiles of \(tile), adds: \(adds)")
      }
    }
  }
}
