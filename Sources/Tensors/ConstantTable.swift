extension UnsafeMutableBufferPointer {
  /// Memory that holds these elements, to be deallocated by whoever has it made.
  ///
  /// For what workers look up in every step: an array would count references.
  package static func table(_ elements: some Collection<Element>) -> Self {
    let table = allocate(capacity: elements.count)
    _ = table.initialize(from: elements)
    return table
  }
}
