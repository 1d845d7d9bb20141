import Tensors
import Testing
import Training

@Suite struct ArenaPlanTests {
  /// Random sizes and lifetimes, some in two parts: whatever is alive together does not overlap.
  @Test func buffersAliveTogetherDoNotOverlap() {
    for trial in 0..<200 {
      var random = KeyedRandom(seed: 6, .data, trial)
      let sizes = (0..<1 + random.integer(below: 30)).map { _ in random.integer(below: 200) }
      let lifetimes = sizes.map { _ in
        (0...random.integer(below: 2)).map { _ in
          let start = random.integer(below: 20)
          return start...start + random.integer(below: 5)
        }
      }
      let plan = ArenaPlan(zip(sizes, lifetimes).map { ArenaPlan.Buffer(count: $0, lifetimes: $1) })
      let complaint = complaint(plan, sizes, lifetimes)
      #expect(complaint == nil, "trial \(trial)")
    }
  }

  private func complaint(_ plan: ArenaPlan, _ sizes: [Int], _ lifetimes: [[ClosedRange<Int>]]) -> String? {
    func places(_ index: Int) -> Range<Int> { plan.offsets[index]..<plan.offsets[index] + sizes[index] }
    func areTogether(_ first: Int, _ second: Int) -> Bool {
      lifetimes[first].contains { mine in lifetimes[second].contains { $0.overlaps(mine) } }
    }
    for first in sizes.indices {
      if plan.offsets[first] % 16 != 0 { return "buffer \(first) is not aligned" }
      if places(first).upperBound > plan.count { return "buffer \(first) reaches beyond the arena" }
      for second in 0..<first where areTogether(first, second) && places(first).overlaps(places(second)) {
        return "buffers \(first) and \(second) overlap"
      }
    }
    return nil
  }

  /// Buffers in a row share the memory of the largest; those alive together lie beside each other.
  @Test func memoryIsShared() {
    func buffer(_ count: Int, _ lifetime: ClosedRange<Int>) -> ArenaPlan.Buffer {
      .init(count: count, lifetimes: [lifetime])
    }
    #expect(ArenaPlan([buffer(64, 0...1), buffer(128, 2...3), buffer(32, 4...4)]).count == 128)
    #expect(ArenaPlan([buffer(64, 0...2), buffer(128, 2...3)]).count == 192)
    #expect(ArenaPlan([]).count == 0)
  }
}
