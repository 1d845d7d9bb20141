import Collectives
import Tensors

/// The model's parameters, in the layout of the kernels: one array for all ranks of a machine.
///
/// In a step each worker updates its slice. Between steps all ranks make the same changes, each on a draft of its own, for
/// one that lags behind would undo what another has just done; the next pass makes them everyone's.
package final class SharedParameters {
  package let count: Int
  private let communicator: any Communicator
  private var memory: SharedMemory?
  /// A rank alone on its machine has nothing else.
  private var draft: AlignedBuffer<Float>?

  /// All 0.
  init(count: Int, _ communicator: any Communicator) {
    (self.count, self.communicator) = (count, communicator)
    draft = AlignedBuffer(count: count)
  }

  /// What workers see, once it is published.
  var start: UnsafeMutablePointer<Float> { memory?.regions[0].assumingMemoryBound(to: Float.self) ?? draft!.start }

  /// As this rank has left them.
  package var current: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: draft?.start ?? start, count: count)
  }

  /// Changes parameters between passes; all ranks do the same.
  package func change(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    if draft == nil {
      let copy = AlignedBuffer<Float>(count: count)
      copy.start.update(from: start, count: count)
      draft = copy
    }
    body(draft!.start)
  }

  /// Makes the changes everyone's; called by all ranks, by the thread that meets the others.
  func publish() throws {
    guard communicator.machine.count > 1, let draft else { return }
    let isFirst = communicator.machine.first == communicator.rank
    if memory == nil { memory = try communicator.share(bytes: isFirst ? count * MemoryLayout<Float>.size : 0) }
    // Others may still read what was before.
    try communicator.machineBarrier()
    if isFirst { start.update(from: draft.start, count: count) }
    try communicator.machineBarrier()
    self.draft = nil
  }
}
