import Tensors

/// Ranks that are threads of one process: for tests, and the communicator of a job of one process.
public final class ThreadCommunicator: Communicator {
  public let rank: Int
  public var size: Int { hub.size }
  public var localSize: Int { hub.size }
  public var machines: [[Int]] { hub.machines }
  private let hub: Hub

  /// What the ranks share: a meeting point, and a table of what each one offers.
  private final class Hub: Sendable {
    struct Offer: @unchecked Sendable {  // The offering rank waits until all have read.
      var bytes: UnsafeRawPointer?
      var parts: [Range<Int>] = []
      var shared: AlignedBuffer<UInt8>?
    }

    let size: Int
    let machines: [[Int]]
    let barrier: Barrier
    let machineBarriers: [Barrier]
    let offers: Locked<[Offer]>
    /// The hub of the first ranks, while they take it.
    let part = Locked<Hub?>(nil)

    init(machines: [[Int]]) {
      let machines = machines.filter { !$0.isEmpty }
      size = machines.joined().count
      self.machines = machines
      barrier = Barrier(count: size, patience: .oversubscribed)
      machineBarriers = machines.map { Barrier(count: $0.count, patience: .oversubscribed) }
      offers = Locked(Array(repeating: Offer(), count: size))
    }

    func poison() {
      for barrier in machineBarriers + [barrier] { barrier.poison() }
    }
  }

  private init(rank: Int, hub: Hub) {
    self.rank = rank
    self.hub = hub
  }

  /// The communicators of `size` ranks.
  public static func group(size: Int) -> [ThreadCommunicator] { group(machines: [Array(0..<size)]) }

  /// The communicators of ranks that behave as if they were on several machines.
  package static func group(machines: [[Int]]) -> [ThreadCommunicator] {
    let hub = Hub(machines: machines)
    return (0..<hub.size).map { ThreadCommunicator(rank: $0, hub: hub) }
  }

  /// The communicator of a process that is alone.
  public static var alone: ThreadCommunicator { group(size: 1)[0] }

  /// Makes every rank that waits throw, because this one will not come.
  package func poison() { hub.poison() }

  public func barrier() throws { try hub.barrier.wait() }

  public func machineBarrier() throws {
    try hub.machineBarriers[machines.firstIndex { $0.contains(rank) }!].wait()
  }

  public func sleepingBarrier() throws { try barrier() }

  public func share(bytes: Int) throws -> SharedMemory {
    hub.offers.withLock { $0[rank].shared = AlignedBuffer(count: bytes) }
    try machineBarrier()
    let buffers = hub.offers.withLock { offers in machine.map { offers[$0].shared! } }
    // They must not be taken back before all have found them.
    try machineBarrier()
    hub.offers.withLock { $0[rank].shared = nil }
    return SharedMemory(buffers)
  }

  public func first(_ count: Int) throws -> (any Communicator)? {
    if rank == 0 { hub.part.withLock { $0 = Hub(machines: machines.map { $0.filter { $0 < count } }) } }
    try barrier()
    let part = rank < count ? hub.part.withLock { $0 } : nil
    // The next part must not be made before all have taken this one.
    try barrier()
    return part.map { ThreadCommunicator(rank: rank, hub: $0) }
  }

  public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws {
    try meet(offering: UnsafeRawPointer(bytes.baseAddress), parts: []) { offers in
      if rank != root, bytes.count > 0 {
        bytes.baseAddress!.copyMemory(from: offers[root].bytes!, byteCount: bytes.count)
      }
    }
  }

  public func allGather(_ bytes: UnsafeMutableRawBufferPointer, counts: [Int]) throws {
    invariant(counts.count == size && counts.reduce(0, +) == bytes.count, "allGather's parts do not fill its buffer")
    try meet(offering: UnsafeRawPointer(bytes.baseAddress), parts: []) { offers in
      var offset = 0
      for (other, count) in counts.enumerated() {
        if other != rank, count > 0 {
          (bytes.baseAddress! + offset).copyMemory(from: offers[other].bytes! + offset, byteCount: count)
        }
        offset += count
      }
    }
  }

  public func allToAll(
    send: UnsafeRawPointer?, parts sendParts: [Range<Int>],
    receive: UnsafeMutableRawPointer?, parts receiveParts: [Range<Int>]
  ) throws {
    try meet(offering: send, parts: sendParts) { offers in
      for (other, part) in receiveParts.enumerated() {
        let source = offers[other].parts[rank]
        invariant(
          source.count == part.count, "rank \(other) sends \(source.count) bytes where \(part.count) are expected")
        if part.count > 0 {
          (receive! + part.lowerBound).copyMemory(from: offers[other].bytes! + source.lowerBound, byteCount: part.count)
        }
      }
    }
  }

  public func abort() -> Never { fatalError("rank \(rank) aborts") }

  /// Shows what every rank offers to `body`; no rank's memory changes before all have read.
  private func meet(offering bytes: UnsafeRawPointer?, parts: [Range<Int>], _ body: ([Hub.Offer]) -> Void) throws {
    hub.offers.withLock { ($0[rank].bytes, $0[rank].parts) = (bytes, parts) }
    try hub.barrier.wait()
    body(hub.offers.withLock { $0 })
    try hub.barrier.wait()
  }
}
