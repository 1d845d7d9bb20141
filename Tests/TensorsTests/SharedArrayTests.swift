import Tensors
import Testing

/// Arrays whose elements are handed over without counting references.
struct SharedArrayTests {
  @Test func elementsComeInOrder() {
    let array = SharedArray(["a", "b", "c"])
    var (there, back) = ("", "")
    array.forEach { there += $0 }
    array.forEachReversed { back += $0 }
    #expect(there == "abc" && back == "cba")
    #expect(array.with(1) { $0 } == "b")
    #expect(Array(array) == ["a", "b", "c"])
    #expect(SharedArray<String>().isEmpty)
  }

  /// An element lives as long as any copy of its array, and no longer.
  @Test func elementsLiveAsLongAsTheArray() {
    final class Element {}
    weak var element: Element?
    var copy: SharedArray<Element>?
    do {
      let array = SharedArray([Element()])
      array.forEach { element = $0 }
      copy = array
    }
    #expect(element != nil)
    copy?.forEach { #expect($0 === element) }
    copy = nil
    #expect(element == nil)
  }

  @Test func errorsEndTheLoop() {
    struct Stop: Error {}
    var count = 0
    #expect(throws: Stop.self) {
      try SharedArray([1, 2, 3]).forEach {
        count += 1
        if $0 == 2 { throw Stop() }
      }
    }
    #expect(count == 2)
  }
}
