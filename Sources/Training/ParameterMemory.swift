import Collectives
import Tensors

/// The model's parameters, in the layout of the kernels: one array for all ranks of a machine, or, where they are few, some
/// for every worker.
///
/// In a step each worker updates its slice. Between steps all ranks make the same changes, each on a draft of its own, for
/// one that lags behind would undo what another has just done; the next pass makes them everyone's.
package final class ParameterMemory {
  package let count: Int
  /// Whether every worker reads parameters of its own. It then has two arrays: one holds the parameters, the other takes
  /// gradients, which the parameters of the next step then overwrite.
  ///
  /// A line of memory that is written on one core, then on another, is soon there. One that a core has written, others have
  /// read, and the same core writes again takes some times as long: its copies must be called back first.
  let isReplicated: Bool
  /// Which of a worker's two arrays holds the parameters.
  package private(set) var turn = 0
  private let threads: Int
  private let communicator: any Communicator
  private var memory: SharedMemory?
  /// A rank alone on its machine has nothing else, unless its workers have their own.
  private var draft: AlignedBuffer<Float>?

  /// Bytes of parameters that fit into a core's own cache, beside the gradients.
  private static let mostReplicated = 512 << 10

  /// All 0.
  package init(count: Int, threads: Int, _ communicator: any Communicator) {
    (self.count, self.threads, self.communicator) = (count, threads, communicator)
    isReplicated =
      communicator.machine.count * threads > 1 && communicator.machines.count == 1
      && count * MemoryLayout<Float>.size <= Self.mostReplicated
    draft = AlignedBuffer(count: count)
  }

  /// What a worker of this rank sees, once it is published.
  package func start(ofWorker index: Int) -> UnsafeMutablePointer<Float> { start(ofWorker: index, turn: turn) }

  /// The same in a turn.
  func start(ofWorker index: Int, turn: Int) -> UnsafeMutablePointer<Float> {
    guard let memory else { return draft!.start }
    return isReplicated
      ? array(ofWorker: index, rank: communicator.rank, turn: turn)
      : memory.regions[0].assumingMemoryBound(to: Float.self)
  }

  /// One of the two arrays of a worker of this machine.
  package func array(ofWorker index: Int, rank: Int, turn: Int) -> UnsafeMutablePointer<Float> {
    memory!.regions[communicator.machine.firstIndex(of: rank)!].assumingMemoryBound(to: Float.self)
      + (2 * index + turn) * paddedCount(count)
  }

  /// The arrays that hold the parameters after a turn, of all workers of this machine; none if they stay where they are.
  package func next(_ turn: Int) -> [UnsafeMutablePointer<Float>] {
    guard isReplicated else { return [] }
    return communicator.machine.flatMap { rank in
      (0..<threads).map { array(ofWorker: $0, rank: rank, turn: 1 - turn) }
    }
  }

  /// The other arrays hold the parameters from now on.
  package func takeTurns() { if isReplicated { turn = 1 - turn } }

  /// As this rank has left them.
  package var current: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: draft?.start ?? start(ofWorker: 0), count: count)
  }

  /// Changes parameters between passes; all ranks do the same.
  package func change(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    if draft == nil {
      let copy = AlignedBuffer<Float>(count: count)
      copy.start.update(from: start(ofWorker: 0), count: count)
      draft = copy
    }
    body(draft!.start)
  }

  /// Makes the changes everyone's; called by all ranks, by the thread that meets the others.
  package func publish() throws {
    guard isReplicated || communicator.machine.count > 1, let draft else { return }
    let isFirst = communicator.machine.first == communicator.rank
    if memory == nil {
      let floats = isReplicated ? 2 * threads * paddedCount(count) : isFirst ? count : 0
      memory = try communicator.share(bytes: floats * MemoryLayout<Float>.size)
    }
    // Others may still read what was before.
    try communicator.machineBarrier()
    for worker in 0..<(isReplicated ? threads : isFirst ? 1 : 0) {
      start(ofWorker: worker).update(from: draft.start, count: count)
    }
    try communicator.machineBarrier()
    self.draft = nil
  }
}
