import Collectives
import Kernels
import Layers
import Tensors

extension Engine {
  /// One step of training: forward, loss, backward with the update of what it has left behind.
  ///
  /// - Throws: `SharedError` if the loss is not finite; the parameters are then those before the step.
  package func train(_ batch: Batch, learningRate: Float) throws -> BatchResult {
    let result = try pass(batch, optimizer, learningRate: learningRate)
    guard result.loss.isFinite else { throw try nonFiniteLoss(result) }
    step += 1
    batchesTracked += 1
    return result
  }

  /// Forward, backward with the loss, and if that is finite the update.
  func pass(_ batch: Batch, _ optimizer: SGD, learningRate: Float) throws -> BatchResult {
    try run(batch, .training) { [self] worker in
      prepareBackward(plan.segments.count - 1, worker)
      try forward(worker)
      try backward(worker, optimizer, learningRate: learningRate)
      try exchange.gatherParameters(worker)
      observer?.finished(.update, worker: worker.index)
    }
    let result = result(batch)
    if result.loss.isFinite { parameters.takeTurns() }
    return result
  }

  /// The loss and the correct answers on a batch, with the running statistics or, in a trial, the batch's own.
  package func evaluate(_ batch: Batch, _ mode: Mode = .evaluation) throws -> BatchResult {
    try run(batch, mode) { [self] in try forward($0) }
    return result(batch)
  }

  private func result(_ batch: Batch) -> BatchResult {
    let totals = plan.network.loss.totals(workers[0])
    return BatchResult(lossSum: totals.loss, correct: totals.correct, count: batch.globalCount)
  }

  /// Derives what the forward pass needs from the parameters, each worker for some of the operations.
  func prepare(_ worker: Worker) throws {
    if let rounding {
      rounding.apply(UnsafePointer(parameters.start(ofWorker: worker.index)), worker)
      try worker.meet()
    }
    var number = 0
    plan.forEachPrepared(worker.mode) { operation in
      if number % workers.count == worker.index { operation.prepare(worker.parameters, worker.kernels) }
      number += 1
    }
    if number > 0 { try worker.meet() }
    observer?.finished(.preparation, worker: worker.index)
  }

  /// Derives what a segment's backward pass needs from the parameters: of shared ones each worker its share, of its own all.
  private func prepareBackward(_ number: Int, _ worker: Worker) {
    let isOwn = parameters.isReplicated
    // What one worker must do alone, another one does in the next segment.
    let share = isOwn ? Share(0, of: 1) : Share((worker.index + number) % workers.count, of: workers.count)
    if !isOwn { worker.announce() }
    plan.segments.with(number) { segment in
      segment.operations.forEach { $0.prepareBackward(worker, share) }
    }
    observer?.finished(.preparation, worker: worker.index)
  }

  /// Depth-first: each slice goes through a whole segment before the next one starts.
  ///
  /// - Parameter inspect: called after each operation, to look for what went wrong.
  func forward(_ worker: Worker, inspect: ((any Operation, Slice) -> Void)? = nil) throws {
    try plan.segments.forEach { segment in
      // Several calls, because a variable that holds one array or the other would count references.
      if worker.mode != .training, segment.number == plan.segments.count - 1 {
        try forward(worker, segment, plan.lossMeeting, inspect)
      } else if worker.mode == .evaluation {
        try forward(worker, segment, [], inspect)
      } else {
        try forward(worker, segment, segment.forwardMeetings, inspect)
      }
    }
  }

  private func forward(
    _ worker: Worker, _ segment: Plan.Segment, _ meetings: SharedArray<Meeting>,
    _ inspect: ((any Operation, Slice) -> Void)?
  ) throws {
    meetings.forEach { $0.open(worker) }
    _ = try computeSlices(
      of: segment, worker, meetings, reading: segment.forwardInputs, mostStolen: Route.mostStolen
    ) { slice in
      if slice.count > 0 { forward(slice, segment, inspect) }
    }
    observer?.finished(.waiting, worker: worker.index)
    if !meetings.isEmpty { worker.announce() }
    try meetings.forEach { try $0.meet(worker) }
    observer?.finished(.meeting, worker: worker.index)
  }

  private func forward(_ slice: Slice, _ segment: Plan.Segment, _ inspect: ((any Operation, Slice) -> Void)?) {
    convert(segment, slice) { $0.expandInputs(slice) }
    segment.operations.forEach { operation in
      operation.forward(slice)
      observer?.finished(.forward(operation), worker: slice.worker)
      inspect?(operation, slice)
      convert(segment, slice) { $0.roundOutput(of: operation, slice) }
    }
  }

  /// The same segments in reverse; nothing reads a segment's parameters after its turn, so that they are updated at once.
  private func backward(_ worker: Worker, _ optimizer: SGD, learningRate: Float) throws {
    // The last segment's weights are ready when all have come.
    try worker.meetIfNeeded()
    try plan.segments.forEachReversed { segment in
      placeGradients(of: segment, worker)
      segment.backwardMeetings.forEach { $0.open(worker) }
      if segment.number > 0 { prepareBackward(segment.number - 1, worker) }
      let stolen = try computeSlices(
        of: segment, worker, segment.backwardMeetings, reading: segment.backwardInputs,
        mostStolen: segment.mostStolenBackward
      ) { slice in
        if slice.count > 0 { backward(slice, segment) } else { zeroGradients(slice, segment) }
      }
      observer?.finished(.waiting, worker: worker.index)
      addGradients(ofStolen: stolen, segment, worker)
      segment.operations.forEach { $0.finishBackward(worker) }
      observer?.finished(.addition, worker: worker.index)
      worker.announce()
      try segment.backwardMeetings.forEach { try $0.meet(worker) }
      // The next segment's weights are ready when all have come, and this one's gradients complete.
      try worker.meetIfNeeded()
      observer?.finished(.meeting, worker: worker.index)
      guard !segment.parameters.isEmpty, plan.network.loss.totals(worker).loss.isFinite else { return }
      try exchange.update(
        segment: segment.number, optimizer, learningRate: learningRate, batches: batchesTracked + 1, worker)
      observer?.finished(.update, worker: worker.index)
    }
  }

  private func backward(_ slice: Slice, _ segment: Plan.Segment) {
    let worker = slice.worker
    convert(segment, slice) { $0.expandForBackward(slice) }
    segment.recomputed.forEach { operation in
      operation.forward(slice)
      observer?.finished(.again(operation), worker: worker)
      convert(segment, slice) { $0.roundOutput(of: operation, slice) }
    }
    segment.differentiated.forEachReversed { differentiated in
      let operation = differentiated.operation
      convert(segment, slice) { $0.roundOutputGradient(of: operation, slice) }
      operation.backward(slice)
      observer?.finished(.backward(operation), worker: worker)
      for (input, value) in differentiated.additions {
        Elementwise.add(
          slice.scratch(input), to: slice.gradient(value),
          count: slice.count * value.layout.sampleStride)
        observer?.finished(.addition, worker: worker)
      }
    }
    convert(segment, slice) { $0.keepGradients(slice) }
  }

  /// Goes from the numbers kept in memory to those computed with, or back; in fp32 they are the same.
  private func convert(_ segment: Plan.Segment, _ slice: Slice, _ body: (Conversions) -> Void) {
    guard let conversions = segment.conversions else { return }
    body(conversions)
    observer?.finished(.conversion, worker: slice.worker)
  }

  /// A shard without samples adds nothing to the gradients, but has its place in the tree.
  private func zeroGradients(_ slice: Slice, _ segment: Plan.Segment) {
    for piece in slice.pieces {
      if !piece.place.adds {
        (slice.gradients(piece.place) + segment.parameters.lowerBound).update(
          repeating: 0, count: segment.parameters.count)
      }
      slice.merge(piece.place, segment.parameters)
    }
  }
}
