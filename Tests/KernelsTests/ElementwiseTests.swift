import Kernels
import Support
import Tensors
import Testing

/// The loops over flat arrays, at lengths around whole vectors.
@Suite struct ElementwiseTests {
  private let counts = [0, 1, 15, 16, 17, 100]

  private func buffer(_ values: [Float]) -> AlignedBuffer<Float> {
    let buffer = AlignedBuffer<Float>(count: values.count)
    buffer.start.update(from: values, count: values.count)
    return buffer
  }

  @Test func nonFiniteElementsAreFoundEverywhere() {
    for count in counts {
      let x = buffer(LayerRun.random(count, number: 0).map { $0 * 1e38 / 10 })
      #expect(!Elementwise.hasNonFinite(x.start, count: count))
      for value in [Float.nan, .infinity, -.infinity, .signalingNaN] {
        let missed = (0..<count).first { i in
          let finite = x.start[i]
          defer { x.start[i] = finite }
          x.start[i] = value
          return !Elementwise.hasNonFinite(x.start, count: count)
        }
        #expect(missed == nil, "\(value) among \(count)")
      }
    }
  }

  @Test func reciprocalRoots() {
    let count = 3 * InstructionSet.channelBlock
    let x = AlignedBuffer<Double>(count: count)
    for i in 0..<count { x.start[i] = Double(i * i) / 7 }
    let expected = x.elements.map { 1 / ($0 + 1e-5).squareRoot() }
    Elementwise.reciprocalRoots(x.start, adding: 1e-5, count: count)
    #expect(Array(x.elements) == expected)
  }

  /// Long rows too: 1,000 is ImageNet's number of classes.
  @Test(arguments: [0, 1, 15, 16, 17, 100, 1_000])
  func sumsOfRows(count: Int) {
    let (rows, stride) = (5, count + 3)
    let (x, before) = (LayerRun.random(rows * stride, number: 0), LayerRun.random(count, number: 1))
    let source = buffer(x)
    for adds in [false, true] {
      let sums = buffer(before)
      Elementwise.addRows(source.start, rows: rows, stride: stride, to: sums.start, count: count, adds: adds)
      let expected = (0..<count).map { k in
        (0..<rows).reduce(adds ? Double(before[k]) : 0) { $0 + Double(x[$1 * stride + k]) }
      }
      let error = zip(sums.elements, expected).map { abs(Double($0) - $1) }.max() ?? 0
      #expect(sums.elements.count == count && error < 1e-5)
    }
  }

  @Test func sumWithAndWithoutRectifier() {
    let (x, residual) = (LayerRun.random(100, number: 0), LayerRun.random(100, number: 1))
    let (a, b, y) = (buffer(x), buffer(residual), buffer(x))
    a.start[5] = .nan
    Elementwise.sum(a.start, b.start, rectify: true, y: y.start, count: 100)
    let isRectified = (0..<100).allSatisfy { $0 == 5 ? y.start[$0].isNaN : y.start[$0] == max(x[$0] + residual[$0], 0) }
    Elementwise.sum(a.start, b.start, rectify: false, y: y.start, count: 100)
    let isSum = (0..<100).allSatisfy { $0 == 5 ? y.start[$0].isNaN : y.start[$0] == x[$0] + residual[$0] }
    #expect(isRectified && isSum)
  }

  @Test func rowsAndMasks() {
    let y = buffer([Float](repeating: 1, count: 6))
    let row = buffer([10, 20, 30])
    Elementwise.fillRows(y.start, with: row.start, rows: 2, count: 3)
    #expect(Array(y.elements) == [10, 20, 30, 10, 20, 30])
    Elementwise.addRows(y.start, rows: 2, stride: 3, to: row.start, count: 2, adds: true)
    #expect(Array(row.elements) == [30, 60, 30])
    let mask = AlignedBuffer<UInt8>(count: 3)
    mask.start[1] = 1
    Elementwise.mask(row.start, by: mask.start, scale: 2, y: y.start, count: 3)
    #expect(Array(y.elements) == [0, 120, 0, 10, 20, 30])
    Elementwise.add(row.start, to: y.start, count: 3)
    #expect(Array(y.elements) == [30, 180, 30, 10, 20, 30])
  }
}
