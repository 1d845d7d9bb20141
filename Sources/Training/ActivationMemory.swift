import Layers
import Tensors

/// One arena per worker that holds every activation and every activation gradient.
package struct ActivationMemory: Sendable {
  private struct Place: Sendable {
    var offset: Int
    /// The distance between kept samples, or 0.
    var stride: Int
  }

  /// Elements of a worker's arena.
  package let count: Int
  private let values: [Place?]
  private let gradients: [Place?]

  init(_ liveness: Liveness, sliceSizes: [Int], samplesPerWorker: Int) {
    let values = liveness.values
    var buffers: [ArenaPlan.Buffer] = []
    var valueBuffer: [Int: Int] = [:]
    var gradientBuffer: [Int: Int] = [:]
    let sliceSize = Dictionary(
      uniqueKeysWithValues: zip(liveness.segments, sliceSizes).flatMap { operations, size in
        operations.map { ($0.output.number, size) }
      })
    func count(_ value: Value, kept: Bool) -> Int {
      (kept ? samplesPerWorker : sliceSize[value.number] ?? samplesPerWorker) * value.layout.sampleStride
    }
    for value in values.dropFirst() {  // The input's memory is the batch's.
      if liveness.root(value.number) == value.number {
        valueBuffer[value.number] = buffers.count
        buffers.append(
          .init(count: count(value, kept: liveness.isKept(value)), lifetimes: liveness.lifetimes(value)))
      }
      if liveness.gradientRoot(value) == value.number, liveness.needsGradient(value) {
        gradientBuffer[value.number] = buffers.count
        buffers.append(
          .init(
            count: count(value, kept: liveness.isGradientKept(value)), lifetimes: liveness.gradientLifetimes(value)))
      }
    }
    let arena = ArenaPlan(buffers)
    self.count = arena.count
    var valuePlaces = [Place?](repeating: nil, count: (values.map(\.number).max() ?? 0) + 1)
    var gradientPlaces = valuePlaces
    for value in values.dropFirst() {
      if let buffer = valueBuffer[liveness.root(value.number)] {
        valuePlaces[value.number] = Place(
          offset: arena.offsets[buffer], stride: liveness.isKept(value) ? value.layout.sampleStride : 0)
      }
      if let buffer = gradientBuffer[liveness.gradientRoot(value)] {
        gradientPlaces[value.number] = Place(
          offset: arena.offsets[buffer], stride: liveness.isGradientKept(value) ? value.layout.sampleStride : 0)
      }
    }
    self.values = valuePlaces
    gradients = gradientPlaces
  }

  /// Gives a worker the addresses of its activations in its arena.
  package func assign(_ arena: AlignedBuffer<Float>, to worker: Worker) {
    func addresses(_ places: [Place?]) -> [Worker.Place] {
      places.map { place in
        Worker.Place(start: place.map { arena.start + $0.offset }, stride: place?.stride ?? 0)
      }
    }
    worker.assign(values: addresses(values), gradients: addresses(gradients))
  }
}
