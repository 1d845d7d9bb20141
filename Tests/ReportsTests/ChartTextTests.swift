import Reports
import Tensors
import Testing

struct ChartTextTests {
  @Test func labelsStayWhereTheyAreIfTheyCan() {
    #expect(ChartText.spread([10, 50, 30], height: 10, in: 0...100) == [10, 50, 30])
  }

  /// Three wishes for one place: the middle one gets it.
  @Test func neighboursMakeRoom() {
    #expect(ChartText.spread([40, 40, 40], height: 10, in: 0...100) == [30, 40, 50])
    #expect(ChartText.spread([0, 0, 100], height: 10, in: 0...100) == [0, 10, 100])
    #expect(ChartText.spread([100, 99], height: 10, in: 0...100) == [100, 90])
  }

  /// Random wishes: no overlap, the same order, in range, however crowded.
  @Test func noLabelsOverlap() {
    for trial in 0..<200 {
      var random = KeyedRandom(seed: 1, .data, trial)
      let count = 1 + random.integer(below: 11)
      let wishes = (0..<count).map { _ in Double(random.uniform(-20...120)) }
      let places = ChartText.spread(wishes, height: 10, in: 0...100)
      #expect(places.allSatisfy { $0 >= -1e-9 && $0 <= 100 + 1e-9 }, "\(places)")
      let order = wishes.indices.sorted { wishes[$0] < wishes[$1] }
      for (first, second) in zip(order, order.dropFirst()) {
        #expect(places[second] - places[first] >= 10 - 1e-9, "\(wishes): \(places)")
      }
    }
  }

  @Test func longTextIsBroken() {
    let text = "as many words as fit into a line of the width"
    let lines = ChartText.lines(text, width: 100)
    #expect(lines.joined(separator: " ") == text && lines.count > 2)
    #expect(lines.allSatisfy { ChartText.width($0) <= 100 })
  }
}
