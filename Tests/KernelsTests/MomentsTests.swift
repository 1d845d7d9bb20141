import Kernels
import Support
import Tensors
import Testing

/// Sums of x and x^2 per channel against plain loops in Double, in blocks of 8 and, where they are used, of 16.
@Suite struct MomentsTests {
  /// Mean and variance of one channel's elements.
  struct Moments: Equatable {
    var mean: Double
    var variance: Double

    init(_ values: [Float]) {
      let n = Double(values.count)
      let mean = values.reduce(0) { $0 + Double($1) } / n
      self.mean = mean
      variance = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / n
    }

    /// As batch norm takes them from the sums.
    init(sum: Double, squaredSum: Double, count: Int) {
      mean = sum / Double(count)
      variance = squaredSum / Double(count) - mean * mean
    }
  }

  /// The sums of every channel, made in calls of up to `samplesPerCall` samples.
  private func sums(_ x: BlockedArray, samplesPerCall: Int) -> (sum: [Double], squaredSum: [Double]) {
    let sums = AlignedBuffer<Double>(count: 2 * x.layout.paddedChannels)
    for start in stride(from: 0, to: x.samples, by: samplesPerCall) {
      ChannelSums.addMoments(
        of: Stored(x.start + start * x.layout.sampleStride), x.layout,
        samples: min(samplesPerCall, x.samples - start), to: sums.start)
    }
    let all = Array(sums.elements)
    return (
      Array(all[..<x.layout.shape.channels]), Array(all[x.layout.paddedChannels...].prefix(x.layout.shape.channels))
    )
  }

  private func channel(_ c: Int, of plain: [Float], _ shape: SampleShape) -> [Float] {
    (0..<plain.count / shape.count).flatMap {
      plain[($0 * shape.count + c * shape.positions)...].prefix(shape.positions)
    }
  }

  @Test(arguments: Blocks.all) func shortAndLongRuns(block: Int) {
    var worst = 0.0
    for positions in [1, 2, 3, 4, 5, 7, 1023, 1025, 12544] {
      for channels in [1, 3, 8, 16, 20] where positions < 1000 || channels < 8 {
        for samples in positions < 1000 ? Array(1...17) : [1, 3] where samples * positions > 1 {
          let shape = SampleShape(channels: channels, height: positions, width: 1)
          let plain = LayerRun.random(samples * shape.count, number: positions).map { 3 * $0 + 5 }
          let x = BlockedArray(plain, ActivationLayout(shape: shape, block: block))
          let sums = sums(x, samplesPerCall: 4)
          for c in 0..<channels {
            let values = channel(c, of: plain, shape)
            let expected = Moments(values)
            let moments = Moments(sum: sums.sum[c], squaredSum: sums.squaredSum[c], count: values.count)
            let error = max(
              abs(moments.mean - expected.mean) / 5, abs(moments.variance - expected.variance) / expected.variance)
            if isWorse(error, than: worst) { worst = error }
          }
        }
      }
    }
    // A run of 12544 in one Float accumulator would be off by more.
    #expect(worst < 2e-6)
  }

  /// Bands of blocks and blocks left over; more samples than a Float accumulator takes, and less, at a large mean.
  @Test(arguments: Blocks.all, [3, 600]) func ofVectors(block: Int, samples: Int) {
    let shape = SampleShape(channels: 170, height: 1, width: 1)
    let plain = LayerRun.random(samples * shape.count, number: 5).map { 1e4 + $0 }
    let sums = sums(BlockedArray(plain, ActivationLayout(shape: shape, block: block)), samplesPerCall: samples)
    let wrong = (0..<shape.channels).filter { c in
      let expected = Moments(channel(c, of: plain, shape))
      let moments = Moments(sum: sums.sum[c], squaredSum: sums.squaredSum[c], count: samples)
      return !(abs(moments.mean - expected.mean) < 1e-3)
        || !(abs(moments.variance - expected.variance) < 1e-4 * expected.variance)
    }
    #expect(wrong == [])
  }

  /// The design's demand: a relative error of the variance below 1e-4 at mean / deviation = 1e4.
  @Test(arguments: Blocks.all) func largeMeans(block: Int) {
    for (mean, deviation) in [(1e4, 1.0), (-1e4, 1), (1000, 0.1), (1, 1e-4), (0, 1), (0, 1e-3)] as [(Float, Float)] {
      for positions in [5, 35, 1024, 12544] {
        let shape = SampleShape(channels: 3, height: positions, width: 1)
        let plain = LayerRun.random(2 * shape.count, number: 4).map { mean + deviation * $0 }
        let sums = sums(BlockedArray(plain, ActivationLayout(shape: shape, block: block)), samplesPerCall: 1)
        for c in 0..<3 {
          let expected = Moments(channel(c, of: plain, shape))
          let moments = Moments(sum: sums.sum[c], squaredSum: sums.squaredSum[c], count: 2 * positions)
          let error = abs(moments.variance - expected.variance) / expected.variance
          #expect(error < 1e-4, "mean \(mean), deviation \(deviation), \(positions) positions")
        }
      }
    }
  }

  /// sum(x) and sum(x^2) of a constant channel are exact to Double's last places.
  @Test(arguments: Blocks.all) func constantChannels(block: Int) {
    for constant in [0.1, 12345.678, -1e-4, 3e7, 0] as [Float] {
      for positions in [1, 5, 1025] {
        let shape = SampleShape(channels: 3, height: positions, width: 1)
        let plain = [Float](repeating: constant, count: 7 * shape.count)
        let sums = sums(BlockedArray(plain, ActivationLayout(shape: shape, block: block)), samplesPerCall: 3)
        for c in 0..<3 {
          let moments = Moments(sum: sums.sum[c], squaredSum: sums.squaredSum[c], count: 7 * positions)
          let square = Double(constant) * Double(constant)
          #expect(abs(moments.variance) <= square * 0x1p-50)
        }
      }
    }
  }

  /// Sums are added to, and other channels' elements do not matter: not even those of the padding.
  @Test(arguments: Blocks.all) func addsToWhatIsThere(block: Int) {
    let shape = SampleShape(channels: 3, height: 5, width: 1)
    let layout = ActivationLayout(shape: shape, block: block)
    let x = BlockedArray(LayerRun.random(2 * shape.count, number: 0), layout, padding: 1e30)
    let (once, twice) = (AlignedBuffer<Double>(count: 2 * block), AlignedBuffer<Double>(count: 2 * block))
    ChannelSums.addMoments(of: Stored(x.start), layout, samples: 2, to: once.start)
    for _ in 0..<2 { ChannelSums.addMoments(of: Stored(x.start), layout, samples: 2, to: twice.start) }
    let isDouble = zip(once.elements, twice.elements).allSatisfy { 2 * $0 == $1 }
    #expect(isDouble && once.start[0] != 0)
  }
}
