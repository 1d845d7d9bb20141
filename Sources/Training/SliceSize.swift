import Layers
import Tensors

/// How many samples go through a segment at once.
enum SliceSize {
  /// What a slice's activations may fill: measured (`lockstep bench step`), a little more than the second-level cache.
  private static let cacheBytes = 1280 << 10
  /// How many times the activations of a slice must outweigh the weights, which every call reads and transforms anew.
  private static let weightFactor = 16

  /// How many times a shard's must, to be a slice by itself: one that is part of a larger slice, no other worker can take over.
  private static let shardFactor = 2

  /// As many samples as keep the segment's activations in the cache, but enough that its weights cost little.
  ///
  /// A function of shapes and the shards' size, because it decides bits where it is smaller than a shard.
  static func samples(for operations: [any Operation], input: Value, shard: Int) -> Int {
    var values: Set<Value> = []
    for operation in operations { values.formUnion(operation.inputs + [operation.output]) }
    let bytesPerSample = max(1, values.reduce(0) { $0 + 4 * $1.layout.sampleStride })
    let weightBytes = operations.flatMap(\.parameters).reduce(0) { $0 + 4 * $1.count }
    let inCache = max(1, cacheBytes / bytesPerSample)
    let size = max(1, inCache, weightFactor * weightBytes / bytesPerSample)
    return shard * bytesPerSample >= shardFactor * weightBytes ? min(size, max(shard, inCache)) : size
  }
}
