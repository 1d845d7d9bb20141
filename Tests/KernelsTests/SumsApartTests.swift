import Kernels
import Support
import Tensors
import Testing

/// A call adds its sums to what is there as one: the same bits as if they had been made apart and added later.
@Suite struct SumsApartTests {
  @Test(arguments: Blocks.all, [(20, 7), (20, 1500), (170, 1)])
  func addedAsOne(block: Int, size: (channels: Int, positions: Int)) {
    let shape = SampleShape(channels: size.channels, height: size.positions, width: 1)
    let layout = ActivationLayout(shape: shape, block: block)
    let samples = 3
    let x = BlockedArray(LayerRun.random(samples * shape.count, number: 0), layout)
    let dy = BlockedArray(LayerRun.random(samples * shape.count, number: 1), layout)
    let dz = BlockedArray([Float](repeating: 0, count: samples * shape.count), layout)
    let mean = AlignedBuffer<Float>(count: layout.paddedChannels)
    expectOneAddition(layout) {
      ChannelSums.addMoments(of: Stored(x.start), layout, samples: samples, to: $0)
    }
    expectOneAddition(layout) {
      ChannelSums.addGradientSums(
        of: Stored(dy.start), through: nil, x: Stored(x.start), mean: mean.start, dz: Stored(dz.start), layout,
        samples: samples, to: $0)
    }
    let window = PoolingGeometry(input: layout, output: layout, kernelHeight: 1, kernelWidth: 1, stride: 1, padding: 0)
    let largest = AlignedBuffer<UInt8>(count: samples * layout.sampleStride)
    expectOneAddition(layout) {
      NormalizedMaxPooling.addGradientSums(
        of: Stored(dy.start), largest: largest.start, x: Stored(x.start), mean: mean.start, dz: Stored(dz.start),
        window,
        samples: samples, to: $0)
    }
  }

  private func expectOneAddition(_ layout: ActivationLayout, _ add: (UnsafeMutablePointer<Double>) -> Void) {
    let count = 2 * layout.paddedChannels
    let (apart, added) = (AlignedBuffer<Double>(count: count), AlignedBuffer<Double>(count: count))
    let before = (0..<count).map { 1 / Double($0 + 3) }
    for i in 0..<count { added.start[i] = before[i] }
    add(apart.start)
    add(added.start)
    #expect(Array(added.elements) == zip(before, apart.elements).map { $0 + $1 })
  }
}
