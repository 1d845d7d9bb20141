import Layers
import Tensors

/// One arena per worker that holds every activation and every activation gradient.
///
/// What is needed beyond its segment is kept for every sample of the worker: in fp32 where operations read and write it; in
/// bf16 as 16-bit numbers, beside a place for the current slice, where operations find them expanded.
package struct ActivationMemory: Sendable {
  private struct Place: Sendable {
    let buffer: Int
    /// The distance between kept samples, or 0.
    let stride: Int
  }

  /// Where a value's gradient, or the value itself, is: for operations, and as 16-bit numbers if it is kept so.
  private struct Home: Sendable {
    let place: Place
    let kept: Place?
  }

  private let arena: ArenaPlan
  /// Where the samples of the batch are read to.
  private let input: Place
  private let values: [Home?]
  private let gradients: [Home?]

  /// Elements of a worker's arena.
  package var count: Int { arena.count }

  init(_ liveness: Liveness, _ precision: Precision, sliceSizes: [Int], samplesPerWorker: Int) {
    var buffers: [ArenaPlan.Buffer] = []
    func place(_ count: Int, stride: Int, _ lifetimes: [ClosedRange<Int>]) -> Place {
      buffers.append(.init(count: count, lifetimes: lifetimes))
      return Place(buffer: buffers.count - 1, stride: stride)
    }
    // To the end of the step and beyond: a loss that is not finite is explained by going forward once more.
    let inputStride = liveness.input.layout.sampleStride
    input = place(samplesPerWorker * inputStride, stride: inputStride, [0...liveness.backwardTime(0)])
    /// - Parameters:
    ///   - times: when the value is written and read.
    ///   - whole: when all samples' values need their memory, if they are kept.
    func home(_ value: Value, isKept: Bool, _ times: [Int], _ whole: [ClosedRange<Int>]) -> Home {
      let stride = value.layout.sampleStride
      if isKept, precision == .float32 {
        return Home(place: place(samplesPerWorker * stride, stride: stride, whole), kept: nil)
      }
      let samples = times.map { sliceSizes[liveness.segment(at: $0)] }.max()!
      let slice = place(samples * stride, stride: 0, Set(times).sorted().map { $0...$0 })
      // The batch's samples stay as they were read.
      guard isKept, value != liveness.input else { return Home(place: slice, kept: nil) }
      return Home(place: slice, kept: place((samplesPerWorker * stride + 1) / 2, stride: stride, whole))
    }

    var values = [Home?](repeating: nil, count: (liveness.values.map(\.number).max() ?? 0) + 1)
    var gradients = values
    for value in liveness.values {
      if value == liveness.input, precision == .float32 {
        values[value.number] = Home(place: input, kept: nil)
      } else if liveness.root(value.number) == value.number {
        values[value.number] = home(
          value, isKept: liveness.isKept(value), liveness.times(value), liveness.lifetimes(value))
      }
      if liveness.needsGradient(value), liveness.gradientRoot(value) == value.number {
        let times = liveness.gradientTimes(value)
        gradients[value.number] = home(
          value, isKept: liveness.isGradientKept(value), times, [times.min()!...times.max()!])
      }
    }
    for value in liveness.values {
      values[value.number] = values[liveness.root(value.number)]
      if liveness.needsGradient(value) { gradients[value.number] = gradients[liveness.gradientRoot(value)] }
    }
    arena = ArenaPlan(buffers)
    (self.values, self.gradients) = (values, gradients)
  }

  /// Where a worker finds the activations of each worker's samples: what is kept in the owner's arena, the rest in its own.
  package func places(_ own: AlignedBuffer<Float>, of owners: [AlignedBuffer<Float>]) -> [ActivationPlaces] {
    owners.map { places(own.start, of: $0.start) }
  }

  private func places(
    _ own: UnsafeMutablePointer<Float>, of owner: UnsafeMutablePointer<Float>
  ) -> ActivationPlaces {
    func address(_ place: Place) -> UnsafeMutablePointer<Float> {
      (place.stride == 0 ? own : owner) + arena.offsets[place.buffer]
    }
    func places(_ homes: [Home?]) -> [ActivationPlaces.Place<Float>] {
      homes.map { .init(start: $0.map { address($0.place) }, stride: $0?.place.stride ?? 0) }
    }
    func keptPlaces(_ homes: [Home?]) -> [ActivationPlaces.Place<UInt16>] {
      homes.map { home in
        guard let kept = home?.kept else { return .init(start: nil, stride: 0) }
        return .init(
          start: UnsafeMutableRawPointer(address(kept)).assumingMemoryBound(to: UInt16.self), stride: kept.stride)
      }
    }
    return ActivationPlaces(
      input: .init(start: address(input), stride: input.stride), values: places(values), gradients: places(gradients),
      keptValues: keptPlaces(values), keptGradients: keptPlaces(gradients))
  }
}
