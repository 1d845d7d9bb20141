import Tensors

/// What passed between ranks.
package struct Traffic: Sendable {
  /// Received from other ranks.
  package var bytes = 0
  /// Until the last rank had come.
  package var waitingSeconds = 0.0
  /// From then on.
  package var transferSeconds = 0.0
  package var messages = 0

  package init() {}

  package static func += (sum: inout Traffic, other: Traffic) {
    sum.bytes += other.bytes
    sum.waitingSeconds += other.waitingSeconds
    sum.transferSeconds += other.transferSeconds
    sum.messages += other.messages
  }
}

/// A communicator that measures what another one does, while it is told to.
///
/// Before each collective the ranks then meet at a barrier, which tells the wait for late ranks from the time that the
/// message takes. Otherwise calls are passed on as they are.
///
/// Sendable: like the communicator it measures, it is used by one thread at a time.
package final class MeteredCommunicator: Communicator, @unchecked Sendable {
  private let base: any Communicator
  private let clock = ContinuousClock()
  /// Whether calls are measured; the same on every rank.
  package var isMetering = false
  private var traffic = Traffic()

  package init(_ base: any Communicator) {
    self.base = base
  }

  /// What has passed since it was last asked.
  package func takeTraffic() -> Traffic {
    defer { traffic = Traffic() }
    return traffic
  }

  package var rank: Int { base.rank }
  package var size: Int { base.size }
  package var localSize: Int { base.localSize }
  package var machines: [[Int]] { base.machines }

  package func barrier() throws { try base.barrier() }
  package func share(bytes: Int) throws -> SharedMemory { try base.share(bytes: bytes) }
  package func sleepingBarrier() throws { try base.sleepingBarrier() }
  package func first(_ count: Int) throws -> (any Communicator)? { try base.first(count) }
  package func abort() -> Never { base.abort() }

  package func machineBarrier() throws {
    guard isMetering else { return try base.machineBarrier() }
    let start = clock.now
    try base.machineBarrier()
    traffic.waitingSeconds += (clock.now - start) / .seconds(1)
  }

  package func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws {
    try metered(bytes: rank == root ? 0 : bytes.count) { try base.broadcast(bytes, root: root) }
  }

  package func allGather(_ bytes: UnsafeMutableRawBufferPointer, counts: [Int]) throws {
    try metered(bytes: bytes.count - counts[rank]) { try base.allGather(bytes, counts: counts) }
  }

  package func allToAll(
    send: UnsafeRawPointer?, parts sendParts: [Range<Int>],
    receive: UnsafeMutableRawPointer?, parts receiveParts: [Range<Int>]
  ) throws {
    let received = receiveParts.enumerated().reduce(0) { $0 + ($1.offset == rank ? 0 : $1.element.count) }
    try metered(bytes: received) {
      try base.allToAll(send: send, parts: sendParts, receive: receive, parts: receiveParts)
    }
  }

  private func metered(bytes: Int, _ body: () throws -> Void) throws {
    guard isMetering else { return try body() }
    let start = clock.now
    try base.barrier()
    let met = clock.now
    try body()
    traffic.waitingSeconds += (met - start) / .seconds(1)
    traffic.transferSeconds += (clock.now - met) / .seconds(1)
    traffic.bytes += bytes
    traffic.messages += 1
  }
}
