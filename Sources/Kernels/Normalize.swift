import Tensors

/// Batch norm's two elementwise passes. Activations: [n, C/b, P, b]; coefficients: padded C.
package enum Normalize {
  /// y = (x - mean) * scale + bias (+ residual), rectified if asked for.
  ///
  /// The mean is subtracted first, so that a constant channel gives its bias exactly.
  package static func forward(
    _ x: UnsafePointer<Float>, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>, bias: UnsafePointer<Float>,
    residual: UnsafePointer<Float>?, rectify: Bool, y: UnsafeMutablePointer<Float>, _ layout: ActivationLayout,
    samples: Int
  ) {
    switch layout.block {
    case 8: apply(SIMD8<Float>.self)
    case 16: apply(SIMD16<Float>.self)
    default: invariantFailure("normalization takes blocks of 8 or 16 channels, not \(layout.block)")
    }

    @inline(__always) func apply<V: ChannelVector>(_: V.Type) {
      forEachChannelBlock(layout, samples) { channel, range in
        let (mean, scale, bias): (V, V, V) = (mean.block(channel), scale.block(channel), bias.block(channel))
        switch (residual, rectify) {
        case (nil, false):
          for p in stride(from: range.lowerBound, to: range.upperBound, by: V.scalarCount) {
            y.setBlock(p, (x.block(p, as: V.self) - mean) * scale + bias)
          }
        case (nil, true):
          for p in stride(from: range.lowerBound, to: range.upperBound, by: V.scalarCount) {
            y.setBlock(p, ((x.block(p, as: V.self) - mean) * scale + bias).rectified)
          }
        case (let residual?, false):
          for p in stride(from: range.lowerBound, to: range.upperBound, by: V.scalarCount) {
            y.setBlock(p, (x.block(p, as: V.self) - mean) * scale + bias + residual.block(p))
          }
        case (let residual?, true):
          for p in stride(from: range.lowerBound, to: range.upperBound, by: V.scalarCount) {
            y.setBlock(p, ((x.block(p, as: V.self) - mean) * scale + bias + residual.block(p)).rectified)
          }
        }
      }
    }
  }

  /// dx = scale * (dz - meanGradient - (x - mean) * slope). dx may be dz.
  package static func backward(
    _ dz: UnsafePointer<Float>, x: UnsafePointer<Float>, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>,
    meanGradient: UnsafePointer<Float>, slope: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    _ layout: ActivationLayout, samples: Int
  ) {
    switch layout.block {
    case 8: apply(SIMD8<Float>.self)
    case 16: apply(SIMD16<Float>.self)
    default: invariantFailure("normalization takes blocks of 8 or 16 channels, not \(layout.block)")
    }

    @inline(__always) func apply<V: ChannelVector>(_: V.Type) {
      forEachChannelBlock(layout, samples) { channel, range in
        let (mean, scale): (V, V) = (mean.block(channel), scale.block(channel))
        let (meanGradient, slope): (V, V) = (meanGradient.block(channel), slope.block(channel))
        for p in stride(from: range.lowerBound, to: range.upperBound, by: V.scalarCount) {
          let centred = x.block(p, as: V.self) - mean
          dx.setBlock(p, scale * (dz.block(p, as: V.self) - meanGradient - centred * slope))
        }
      }
    }
  }

  /// dx = scale * dz - shift - (x - mean) * slope, for means that have the channels' weights in them. dx may be dz.
  package static func backward(
    _ dz: UnsafePointer<Float>, x: UnsafePointer<Float>, mean: UnsafePointer<Float>, scale: UnsafePointer<Float>,
    shift: UnsafePointer<Float>, slope: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    _ layout: ActivationLayout, samples: Int
  ) {
    switch layout.block {
    case 8: apply(SIMD8<Float>.self)
    case 16: apply(SIMD16<Float>.self)
    default: invariantFailure("normalization takes blocks of 8 or 16 channels, not \(layout.block)")
    }

    @inline(__always) func apply<V: ChannelVector>(_: V.Type) {
      forEachChannelBlock(layout, samples) { channel, range in
        let (mean, scale): (V, V) = (mean.block(channel), scale.block(channel))
        let (shift, slope): (V, V) = (shift.block(channel), slope.block(channel))
        for p in stride(from: range.lowerBound, to: range.upperBound, by: V.scalarCount) {
          let centred = x.block(p, as: V.self) - mean
          dx.setBlock(p, scale * dz.block(p, as: V.self) - shift - centred * slope)
        }
      }
    }
  }

  /// dx = scale * dx: statistics that do not depend on the batch.
  package static func backwardFrozen(
    _ dx: UnsafeMutablePointer<Float>, scale: UnsafePointer<Float>, _ layout: ActivationLayout, samples: Int
  ) {
    forEachChannelBlock(layout, samples) { channel, range in
      for p in stride(from: range.lowerBound, to: range.upperBound, by: layout.block) {
        for lane in 0..<layout.block { dx[p + lane] *= scale[channel + lane] }
      }
    }
  }

  @inline(__always)
  private static func forEachChannelBlock(
    _ layout: ActivationLayout, _ samples: Int, _ body: (_ channel: Int, _ elements: Range<Int>) -> Void
  ) {
    let run = layout.positions * layout.block
    for sample in 0..<samples {
      for group in 0..<layout.channelBlocks {
        let start = sample * layout.sampleStride + group * run
        body(group * layout.block, start..<start + run)
      }
    }
  }
}
