import Tensors

/// The longest run of blocks that one Float accumulator takes before it is flushed to Double.
private let runLength = 256

/// Batch norm's two kinds of sums over samples and pixels, per channel.
///
/// Float accumulators take short runs and are flushed to Double. x: [n, C/b, P, b], sums: two rows of padded C Doubles.
package enum ChannelSums {
  /// Adds sum(x) and sum(x^2) of every channel to the rows of `sums`.
  ///
  /// The squares are taken about a shift, the block's first element, so that they do not cancel when the mean is far
  /// larger than the deviation; with d = x - shift and n elements,
  ///
  ///     sum(x) = sum(d) + n shift,   sum(x^2) = sum(d^2) + 2 shift sum(d) + n shift^2,
  ///
  /// the right-hand sides in Double. (Chan, Golub, LeVeque 1983, doi:10.1080/00031305.1983.10483115, section 3.)
  package static func addMoments(
    of x: UnsafePointer<Float>, _ layout: ActivationLayout, samples: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    switch layout.block {
    case 8: moments(SIMD8<Float>.self, x, layout, samples, sums)
    case 16: moments(SIMD16<Float>.self, x, layout, samples, sums)
    default: invariantFailure("channel sums take blocks of 8 or 16 channels, not \(layout.block)")
    }
  }

  /// dz = dy where y > 0 (everywhere if `y` is nil), and adds sum(dz) and sum(dz (x - mean)) of every channel to the
  /// rows of `sums`.
  ///
  /// - Parameters:
  ///   - y: the result of the rectifier that follows the normalization, if one does.
  ///   - mean: padded C.
  package static func addGradientSums(
    of dy: UnsafePointer<Float>, y: UnsafePointer<Float>?, x: UnsafePointer<Float>, mean: UnsafePointer<Float>,
    dz: UnsafeMutablePointer<Float>, _ layout: ActivationLayout, samples: Int, to sums: UnsafeMutablePointer<Double>
  ) {
    switch (layout.block, y) {
    case (8, let y?): gradientSums(SIMD8<Float>.self, true, dy, y, x, mean, dz, layout, samples, sums)
    case (8, nil): gradientSums(SIMD8<Float>.self, false, dy, dy, x, mean, dz, layout, samples, sums)
    case (16, let y?): gradientSums(SIMD16<Float>.self, true, dy, y, x, mean, dz, layout, samples, sums)
    case (16, nil): gradientSums(SIMD16<Float>.self, false, dy, dy, x, mean, dz, layout, samples, sums)
    default: invariantFailure("channel sums take blocks of 8 or 16 channels, not \(layout.block)")
    }
  }

  @inline(__always)
  private static func moments<V: ChannelVector>(
    _: V.Type, _ x: UnsafePointer<Float>, _ layout: ActivationLayout, _ samples: Int,
    _ sums: UnsafeMutablePointer<Double>
  ) {
    let lanes = V.scalarCount
    let count = Double(samples * layout.positions)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * lanes) { local in
      let (first, second) = (local.baseAddress!, local.baseAddress! + lanes)
      for group in 0..<layout.channelBlocks {
        local.update(repeating: 0)
        let start = x + group * layout.positions * lanes
        let shift: V = start.block(0)
        forEachRun(layout, samples) { sample, positions in
          let row = start + sample * layout.sampleStride
          var (s0, s1, s2, s3) = (V(), V(), V(), V())
          var (q0, q1, q2, q3) = (V(), V(), V(), V())
          var p = positions.lowerBound * lanes
          let end = positions.upperBound * lanes
          while p + 4 * lanes <= end {
            let d0: V = row.block(p) - shift
            let d1: V = row.block(p + lanes) - shift
            let d2: V = row.block(p + 2 * lanes) - shift
            let d3: V = row.block(p + 3 * lanes) - shift
            s0 += d0; q0 += d0 * d0
            s1 += d1; q1 += d1 * d1
            s2 += d2; q2 += d2 * d2
            s3 += d3; q3 += d3 * d3
            p += 4 * lanes
          }
          while p < end {
            let d: V = row.block(p) - shift
            s0 += d; q0 += d * d
            p += lanes
          }
          flush((s0 + s1) + (s2 + s3), to: first)
          flush((q0 + q1) + (q2 + q3), to: second)
        }
        let sum = sums + group * lanes
        let squaredSum = sum + layout.paddedChannels
        for lane in 0..<lanes {
          let shift = Double(shift[lane])
          sum[lane] += first[lane] + count * shift
          squaredSum[lane] += second[lane] + 2 * shift * first[lane] + count * shift * shift
        }
      }
    }
  }

  @inline(__always)
  private static func gradientSums<V: ChannelVector>(
    _: V.Type, _ isRectified: Bool, _ dy: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
    _ mean: UnsafePointer<Float>, _ dz: UnsafeMutablePointer<Float>, _ layout: ActivationLayout, _ samples: Int,
    _ sums: UnsafeMutablePointer<Double>
  ) {
    let lanes = V.scalarCount
    for group in 0..<layout.channelBlocks {
      let mean: V = mean.block(group * lanes)
      let first = sums + group * lanes
      forEachRun(layout, samples) { sample, positions in
        let offset = sample * layout.sampleStride + group * layout.positions * lanes
        var (s0, s1, q0, q1) = (V(), V(), V(), V())

        @inline(__always) func load(_ p: Int) -> V {
          let d: V = isRectified ? dy.block(p, as: V.self).selected(by: y.block(p)) : dy.block(p)
          dz.setBlock(p, d)
          return d
        }

        var p = offset + positions.lowerBound * lanes
        let end = offset + positions.upperBound * lanes
        while p + 2 * lanes <= end {
          let (d0, d1) = (load(p), load(p + lanes))
          s0 += d0; q0 += d0 * (x.block(p) - mean)
          s1 += d1; q1 += d1 * (x.block(p + lanes) - mean)
          p += 2 * lanes
        }
        if p < end {
          let d = load(p)
          s0 += d; q0 += d * (x.block(p) - mean)
        }
        flush(s0 + s1, to: first)
        flush(q0 + q1, to: first + layout.paddedChannels)
      }
    }
  }

  /// Cuts every sample's pixels into runs that are short enough for Float accumulators.
  @inline(__always)
  private static func forEachRun(
    _ layout: ActivationLayout, _ samples: Int, _ body: (_ sample: Int, _ positions: Range<Int>) -> Void
  ) {
    for sample in 0..<samples {
      var position = 0
      while position < layout.positions {
        let end = min(position + 4 * runLength, layout.positions)
        body(sample, position..<end)
        position = end
      }
    }
  }
}
