import Datasets
import Testing

@Suite struct SampleOrderTests {
  @Test(arguments: [0, 1, 2, 1001]) func everyEpochHoldsEverySampleOnce(count: Int) {
    let order = SampleOrder(count: count, seed: 3, shuffle: true)
    for epoch in [0, 1, 7] {
      #expect(order.indices(epoch: epoch).sorted() == (0..<count).map(Int32.init))
    }
  }

  @Test func epochsAndSeedsDiffer() {
    let order = SampleOrder(count: 1001, seed: 3, shuffle: true)
    let orders = [
      order.indices(epoch: 0), order.indices(epoch: 1), (0..<1001).map(Int32.init),
      SampleOrder(count: 1001, seed: 4, shuffle: true).indices(epoch: 0),
    ]
    #expect(Set(orders).count == 4)
    #expect(order.indices(epoch: 1) == orders[1])
  }

  @Test func unshuffledIsTheStoredOrder() {
    #expect(SampleOrder(count: 5, seed: 3, shuffle: false).indices(epoch: 9) == [0, 1, 2, 3, 4])
  }
}
