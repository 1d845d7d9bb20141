import Foundation
import Tensors

/// A group of ranks that run the same program and meet in collectives.
///
/// Every rank calls the same collectives in the same order, each from one thread. There is no averaging and no floating
/// point here: bytes travel, and sums are made in the tree's order by the extension `Communicator+Sums`.
///
/// Cost, for p ranks, latency a per message and b per byte: `broadcast` log2(p) a + n b, `allGather` (p-1) a + n b,
/// `allToAll` (p-1) a + n b, where n is the bytes a rank ends up sending or receiving.
public protocol Communicator: AnyObject, Sendable {
  /// This process's number, 0 ..< size.
  var rank: Int { get }
  /// The number of processes.
  var size: Int { get }
  /// The number of this group's processes that run on this machine.
  var localSize: Int { get }
  /// The ranks of each machine, ascending: those that can share memory. Where the system keeps processes apart, as
  /// containers do, each counts as a machine.
  var machines: [[Int]] { get }

  /// Returns when every rank has called it.
  func barrier() throws

  /// Returns when every rank of this machine has called it. What one wrote to shared memory before, all can read after.
  func machineBarrier() throws

  /// Returns when every rank has called it; for ranks that wait long: they sleep, and leave their CPUs to those that
  /// compute. Late by milliseconds.
  func sleepingBarrier() throws

  /// Memory shared by this machine's ranks, of which each one gives `bytes`, and all call it.
  ///
  /// - Throws: `LockstepError` on all of them if there is none to be had.
  func share(bytes: Int) throws -> SharedMemory

  /// The communicator of the first `count` ranks; nil on the others. Every rank calls it.
  func first(_ count: Int) throws -> (any Communicator)?

  /// Copies the root's bytes to every rank.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws

  /// Completes `bytes`, which consists of one part per rank in rank order, from the part each rank has filled in.
  ///
  /// - Parameter counts: the bytes of each rank's part, the same on every rank.
  func allGather(_ bytes: UnsafeMutableRawBufferPointer, counts: [Int]) throws

  /// Sends part q of `send` to rank q, and receives part q of `receive` from it. Parts are byte ranges.
  func allToAll(
    send: UnsafeRawPointer?, parts sendParts: [Range<Int>],
    receive: UnsafeMutableRawPointer?, parts receiveParts: [Range<Int>]) throws

  /// Ends every rank of the job, at once and without cleaning up.
  func abort() -> Never
}

extension Communicator {
  /// The ranks of this machine, ascending.
  package var machine: [Int] { machines.first { $0.contains(rank) }! }

  /// The texts of all ranks, in rank order.
  package func allGather(_ text: String) throws -> [String] {
    let bytes = Array(text.utf8)
    var lengths = [Int](repeating: 0, count: size)
    lengths[rank] = bytes.count
    try lengths.withUnsafeMutableBytes {
      try allGather($0, counts: Array(repeating: MemoryLayout<Int>.size, count: size))
    }
    var all = [UInt8](repeating: 0, count: lengths.reduce(0, +))
    let start = lengths[..<rank].reduce(0, +)
    all.replaceSubrange(start..<start + bytes.count, with: bytes)
    try all.withUnsafeMutableBytes { try allGather($0, counts: lengths) }
    var texts: [String] = []
    var offset = 0
    for length in lengths {
      texts.append(String(decoding: all[offset..<offset + length], as: UTF8.self))
      offset += length
    }
    return texts
  }

  /// The bytes that the first rank reads, on every rank: only its disk need have them. nil on all if it finds none.
  ///
  /// - Throws: `SharedError` on every rank if `read` throws.
  package func fromFirst(_ read: () throws -> Data?) throws -> Data? {
    var bytes = try agree { rank == 0 ? try read() : nil }
    guard let count = try Int(allGather(bytes.map { "\($0.count)" } ?? "")[0]) else { return nil }
    guard size > 1 else { return bytes }
    if rank > 0 { bytes = Data(count: count) }
    try bytes!.withUnsafeMutableBytes { try broadcast($0, root: 0) }
    return bytes
  }

  /// Runs `body` on every rank and makes all ranks agree on the outcome: if it throws anywhere, it throws everywhere.
  ///
  /// A missing file on one host thus ends the whole job with one message, and no rank waits for another that is gone.
  ///
  /// - Throws: `SharedError` with the first failing rank's error, on every rank.
  package func agree<Result>(_ body: () throws -> Result) throws -> Result {
    let outcome = Swift.Result { try body() }
    var complaint = ""
    if case .failure(let error) = outcome { complaint = "\(error)" }
    let complaints = try allGather(complaint)
    guard let first = complaints.firstIndex(where: { !$0.isEmpty }) else { return try outcome.get() }
    let isEverywhere = complaints.allSatisfy { $0 == complaints[first] }
    throw SharedError(isEverywhere ? complaints[first] : "rank \(first): \(complaints[first])")
  }
}

/// An error that every rank throws at the same point: all may leave the job in good order.
public struct SharedError: Error, CustomStringConvertible {
  public let description: String

  package init(_ description: String) {
    self.description = description
  }
}
