import Tensors
import Testing

@Suite struct KeyedRandomTests {
  // Known answers of the authors' reference implementation, Random123's kat_vectors: philox4x32-10.
  @Test(arguments: [
    (
      SIMD4<UInt32>(repeating: 0), SIMD2<UInt32>(repeating: 0),
      SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8)
    ),
    (
      SIMD4<UInt32>(repeating: .max), SIMD2<UInt32>(repeating: .max),
      SIMD4<UInt32>(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd)
    ),
    (
      SIMD4<UInt32>(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), SIMD2<UInt32>(0xa409_3822, 0x299f_31d0),
      SIMD4<UInt32>(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1)
    ),
  ])
  func knownAnswers(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, expected: SIMD4<UInt32>) {
    #expect(KeyedRandom.philox(counter, key) == expected)
  }

  @Test func everyKeyHasItsOwnNumbers() {
    var seen: Set<UInt32> = []
    for seed in 0..<4 {
      for first in 0..<4 {
        for second in 0..<4 {
          var random = KeyedRandom(seed: UInt64(seed), .order, first, second)
          seen.insert(random.next())
        }
      }
    }
    #expect(seen.count == 64)
  }

  @Test func momentsOfUniformAndNormal() {
    var random = KeyedRandom(seed: 7, .data)
    let uniform = (0..<100_000).map { _ in Double(random.uniform()) }
    let normal = (0..<100_000).map { _ in Double(random.normal()) }
    func mean(_ x: [Double]) -> Double { x.reduce(0, +) / Double(x.count) }
    #expect(abs(mean(uniform) - 0.5) < 0.005)
    #expect(abs(mean(uniform.map { $0 * $0 }) - 1 / 3) < 0.005)
    #expect(abs(mean(normal)) < 0.015)
    #expect(abs(mean(normal.map { $0 * $0 }) - 1) < 0.03)
  }

  @Test func permutationHoldsEveryIndexOnce() {
    var random = KeyedRandom(seed: 1, .order, 3)
    let order = random.permutation(of: 1001)
    #expect(order.sorted() == (0..<1001).map(Int32.init))
    #expect(order != order.sorted())
  }
}
