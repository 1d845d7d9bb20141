import Collectives
import Kernels
import Layers
import Tensors

/// Workers take over each other's slices, because cores are not equally fast: they are of several kinds, or shared with others.
///
/// Who computes a slice changes no bit: its sums are made apart, and its owner adds them where its own would have gone.
extension Engine {
  /// Has a worker's slices of a segment computed, by itself and by others that have none left, and computes others' then.
  ///
  /// - Parameters:
  ///   - meetings: those at the end of the pass.
  ///   - inputs: what slices read.
  ///   - mostStolen: the number of slices that others may take.
  ///   - compute: computes a slice.
  /// - Returns: the slices that others took, by their numbers; they are done.
  func computeSlices(
    of segment: Plan.Segment, _ worker: Worker, _ meetings: SharedArray<Meeting>, reading inputs: KeptInputs,
    mostStolen: Int, _ compute: (Slice) -> Void
  ) throws -> Range<Int> {
    let route = worker.route.segments[segment.number]
    func stealable(_ owner: Int) -> Int { min(route.stealableCounts[owner], mostStolen) }
    let count = route.slices.count
    let first = count - stealable(worker.index)
    worker.round &+= 1
    func computeOwn(_ index: Int) {
      inputs.readAhead(of: route.slices, behind: index)
      compute(route.slices[index])
    }
    return try queues.with(worker.index) { queue in
      if first < count { queue.open(first..<count, round: worker.round) }
      for index in 0..<first { computeOwn(index) }
      while first < count, let index = queue.next() { computeOwn(index) }
      if count > 1 { worker.kernels.ahead.forget() }
      // From the next one on, so that not all of them come to the same.
      for offset in workers.indices.dropFirst() {
        let victim = (worker.index + offset) % workers.count
        guard stealable(victim) > 0 else { continue }
        while let index = queues.with(victim, { $0.steal(round: worker.round) }) {
          let slice = workers[victim].route.segments[segment.number].stealable(index).stolen(by: worker)
          meetings.forEach { $0.open(slice) }
          compute(slice)
          queues.with(victim) { $0.giveBack() }
        }
      }
      guard first < count else { return count..<count }
      let stolen = try queue.stolen(upTo: count, worker.barrier)
      for index in stolen {
        meetings.forEach { $0.add(route.stealable(index), to: route.slices[index]) }
      }
      return stolen
    }
  }

  /// Adds the parameter gradients of stolen slices to those of their shards: of all the segment's parameters, although those
  /// that are known for shards as a whole are only put there later, by `finishBackward`.
  func addGradients(ofStolen slices: Range<Int>, _ segment: Plan.Segment, _ worker: Worker) {
    let (route, parameters) = (worker.route.segments[segment.number], segment.parameters)
    for index in slices {
      for (stolen, piece) in zip(route.stealable(index).pieces, route.slices[index].pieces) {
        let from = worker.gradients(stolen.place) + parameters.lowerBound
        let to = worker.gradients(piece.place) + parameters.lowerBound
        if piece.place.adds {
          Elementwise.add(from, to: to, count: parameters.count)
        } else {
          to.update(from: from, count: parameters.count)
        }
        worker.merge(piece.place, parameters)
      }
    }
  }
}

extension Plan.Segment {
  /// Bytes of parameter gradients that a worker has room for beside its own.
  private static let stolenBytes = 16 << 20

  /// The most slices of a worker that others may compute on the way back, where each has parameter gradients of its own.
  var mostStolenBackward: Int {
    min(Route.mostStolen, Self.stolenBytes / (max(1, parameters.count) * MemoryLayout<Float>.size))
  }
}
