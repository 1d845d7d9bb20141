import Tensors
import Testing

@Suite struct MedianTests {
  @Test func oddEvenAndNone() {
    #expect([3.0, 1, 7].median == 3)
    #expect([4.0, 1, 7, 2].median == 3)
    #expect([5.0].median == 5)
    #expect([Double]().median == nil)
  }
}
