import Layers
import Tensors

/// How many samples go through a segment at once.
enum SliceSize {
  /// What of the second-level cache a slice's activations may fill.
  private static let cacheBytes = 1 << 20

  /// As many samples as keep the segment's activations in the cache, but enough that its weights, which every slice
  /// reads, are not read more often than the activations.
  ///
  /// A function of shapes alone, because it decides bits where it is smaller than a shard.
  static func samples(for operations: [any Operation], input: Value) -> Int {
    var values: Set<Value> = []
    for operation in operations { values.formUnion(operation.inputs + [operation.output]) }
    let bytesPerSample = max(1, values.reduce(0) { $0 + 4 * $1.layout.sampleStride })
    let weightBytes = operations.flatMap(\.parameters).reduce(0) { $0 + 4 * $1.count }
    let inCache = max(1, cacheBytes / bytesPerSample)
    return max(1, inCache, weightBytes / bytesPerSample)
  }
}
