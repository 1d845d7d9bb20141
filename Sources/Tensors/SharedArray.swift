/// A constant array that several threads go through again and again.
///
/// A loop over an `Array` counts a reference to every object in it. Where two cores do that to the same objects, each waits
/// for the other's cache lines: 30 to 60 ns a time, hundreds of times in a step. `forEach` and `with` count nothing; the array
/// keeps its elements alive.
///
/// Public, because only public functions are compiled into the modules that call them.
public struct SharedArray<Element>: RandomAccessCollection {
  @usableFromInline final class Box {
    @usableFromInline let element: Element

    init(_ element: Element) { self.element = element }
  }

  private let boxes: [Box]
  @usableFromInline let references: [Unmanaged<Box>]

  public init(_ elements: some Sequence<Element>) {
    boxes = elements.map(Box.init)
    references = boxes.map(Unmanaged.passUnretained)
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { boxes.count }
  public subscript(index: Int) -> Element { boxes[index].element }

  /// Hands over one element.
  @inlinable
  public func with<Result>(_ index: Int, _ body: (Element) throws -> Result) rethrows -> Result {
    try references[index]._withUnsafeGuaranteedRef { try body($0.element) }
  }

  /// Hands over all elements, from the first to the last.
  @inlinable
  public func forEach(_ body: (Element) throws -> Void) rethrows {
    for reference in references { try reference._withUnsafeGuaranteedRef { try body($0.element) } }
  }

  /// Hands over all elements, from the last to the first.
  @inlinable
  public func forEachReversed(_ body: (Element) throws -> Void) rethrows {
    for reference in references.reversed() { try reference._withUnsafeGuaranteedRef { try body($0.element) } }
  }
}

/// Nothing in it changes, and the references point to what `boxes` holds.
extension SharedArray: @unchecked Sendable where Element: Sendable {}

extension SharedArray: ExpressibleByArrayLiteral {
  public init(arrayLiteral elements: Element...) { self.init(elements) }
}
