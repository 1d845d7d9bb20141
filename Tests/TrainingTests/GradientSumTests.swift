import Collectives
import Support
import Tensors
import Testing
import Training

/// Sums of gradients in place, against the tree's definition.
@Suite struct GradientSumTests {
  private let count = 1_700
  private let range = 37..<1_650

  private func leaves(_ count: Int) -> [[Float]] { (0..<count).map { LayerRun.random(self.count, number: $0) } }

  /// sum(lo, hi) = sum(lo, m) + sum(m, hi)
  private func definition(_ leaves: [[Float]], _ lo: Int, _ hi: Int) -> [Float] {
    if hi - lo == 1 { return leaves[lo] }
    var extent = 1
    while 2 * extent < hi - lo { extent *= 2 }
    return zip(definition(leaves, lo, lo + extent), definition(leaves, lo + extent, hi)).map { $0 + $1 }
  }

  private func buffers(_ leaves: [[Float]]) -> [AlignedBuffer<Float>] {
    leaves.map { leaf in
      let buffer = AlignedBuffer<Float>(count: count)
      buffer.start.update(from: leaf, count: count)
      return buffer
    }
  }

  /// Whoever adds up: the total has the same bits, nothing beside the range changes, the worker's own array stays, and every
  /// other is overwritten or said not to be.
  @Test(arguments: 1...9) func total(arrays: Int) {
    let leaves = leaves(arrays)
    let schedule = SumSchedule(ShardTree(count: arrays), (0..<arrays).map { $0..<$0 + 1 })
    let expected = definition(leaves, 0, arrays)
    for own in 0..<arrays {
      let buffers = buffers(leaves)
      var sum = [Float](repeating: .nan, count: count)
      let gradients = GradientSum(schedule, buffers.map(\.start), own: [buffers[own].start])
      gradients.addUp(range) { result, offset, sums in
        #expect(result == 0)
        sum.replaceSubrange(offset..<offset + sums.count, with: sums)
      }
      #expect(sum[range] == expected[range] && sum[..<37].allSatisfy(\.isNaN) && sum[1_650...].allSatisfy(\.isNaN))
      for (number, buffer) in buffers.enumerated() {
        let now = Array(buffer.elements)
        #expect(now[..<37] == leaves[number][..<37] && now[1_650...] == leaves[number][1_650...])
        let isUntouched = number == own || gradients.untouched.contains(buffer.start)
        #expect((now[range] == leaves[number][range]) == isUntouched, "array \(number), own \(own)")
      }
    }
  }

  /// Several results: each lies in an array of its own leaves, from where it can be copied to the first arrays in turn.
  @Test func severalResults() {
    let leaves = leaves(6)
    let schedule = SumSchedule(ShardTree(count: 8), (1..<7).map { $0..<$0 + 1 })
    let nodes = [0..<1, 1..<3, 3..<5, 5..<6]
    for own in 0..<6 {
      let buffers = buffers(leaves)
      GradientSum(schedule, buffers.map(\.start), own: [buffers[own].start]).addUp(range) { result, offset, sums in
        (buffers[result].start + offset).update(from: sums.baseAddress!, count: sums.count)
      }
      for (result, node) in nodes.enumerated() {
        let expected = definition(leaves, node.lowerBound, node.upperBound)
        #expect(buffers[result].elements[range].elementsEqual(expected[range]), "\(node)")
      }
    }
  }
}
