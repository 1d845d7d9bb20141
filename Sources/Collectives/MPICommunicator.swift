import CMPI
import Foundation
import Tensors

/// A call into MPI that did not succeed.
public struct MPIError: Error, CustomStringConvertible {
  /// The C function.
  public let function: String
  /// MPI's error code.
  public let code: Int32

  public var description: String {
    var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING))
    var length: Int32 = 0
    MPI_Error_string(code, &text, &length)
    return "\(function): \(String(decoding: text.prefix(Int(length)).map(UInt8.init), as: UTF8.self))"
  }
}

/// Ranks that are processes of an MPI job.
///
/// MPI is asked for `MPI_THREAD_FUNNELED`: only the thread that made the communicator calls it. One instance per process,
/// and those of its first ranks.
public final class MPICommunicator: Communicator {
  public let rank: Int
  public let size: Int
  public let localSize: Int
  public let machines: [[Int]]
  private let handle: MPIHandle
  /// The ranks of this machine.
  private let local: MPIHandle
  /// Where the machine's ranks meet; nil for one that shares no memory.
  private let meeting: MachineMeeting?

  /// Whether this process was started by an MPI launcher (Open MPI's, or one that speaks PMI or PMIx, such as srun).
  public static var isLaunched: Bool {
    let environment = ProcessInfo.processInfo.environment
    return ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"].contains { environment[$0] != nil }
  }

  /// Joins the job. The corresponding C function is `MPI_Init_thread`.
  ///
  /// - Throws: `LockstepError` if MPI cannot be called from a program with threads.
  public convenience init() throws {
    // A rank that waits then yields its CPU between looks: free where it has one to itself, and where it does not, the
    // rank that it waits for gets on. Only Open MPI knows the name; what the user has set stays.
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0)
    var provided: Int32 = 0
    try check(MPI_Init_thread(nil, nil, Int32(MPI_THREAD_FUNNELED), &provided), "MPI_Init_thread")
    guard provided >= MPI_THREAD_FUNNELED else {
      throw LockstepError("this MPI library does not support programs with threads (MPI_THREAD_FUNNELED)")
    }
    try self.init(MPIHandle(lockstep_mpi_comm_world()))
  }

  private init(_ handle: MPIHandle) throws {
    self.handle = handle
    try check(MPI_Comm_set_errhandler(handle.communicator, lockstep_mpi_errors_return()), "MPI_Comm_set_errhandler")
    rank = try handle.number(MPI_Comm_rank, "MPI_Comm_rank")
    size = try handle.number(MPI_Comm_size, "MPI_Comm_size")
    var part: MPI_Comm?
    try check(
      MPI_Comm_split_type(handle.communicator, Int32(MPI_COMM_TYPE_SHARED), 0, lockstep_mpi_info_null(), &part),
      "MPI_Comm_split_type")
    local = MPIHandle(part)
    localSize = try local.number(MPI_Comm_size, "MPI_Comm_size")
    let machines = try handle.ranksByMachine(local)
    self.machines = machines
    meeting = try machines.contains([rank]) ? nil : MachineMeeting(local)
  }

  /// Leaves the job; every rank must call it. The corresponding C function is `MPI_Finalize`.
  public func finalize() { MPI_Finalize() }

  /// The corresponding C function is `MPI_Barrier`.
  public func barrier() throws { try check(MPI_Barrier(handle.communicator), "MPI_Barrier") }

  public func machineBarrier() throws { meeting?.meet() }

  /// The corresponding C function is `MPI_Win_allocate_shared`; but that of Open MPI 4 puts the memory into `/dev/shm`, where
  /// containers have little room.
  public func share(bytes: Int) throws -> SharedMemory {
    guard !machines.contains([rank]) else { return SharedMemory([AlignedBuffer<UInt8>(count: bytes)]) }
    return try local.sharedMemory(bytes: bytes)
  }

  /// The corresponding C functions are `MPI_Ibarrier` and `MPI_Test`.
  public func sleepingBarrier() throws {
    var request: MPI_Request?
    try check(MPI_Ibarrier(handle.communicator, &request), "MPI_Ibarrier")
    var isDone: Int32 = 0
    while true {
      try check(MPI_Test(&request, &isDone, lockstep_mpi_status_ignore()), "MPI_Test")
      if isDone != 0 { return }
      usleep(1_000)
    }
  }

  /// The corresponding C function is `MPI_Comm_split`. The new communicator lasts as long as the job.
  public func first(_ count: Int) throws -> (any Communicator)? {
    var part: MPI_Comm?
    let isMember = rank < count
    try check(
      MPI_Comm_split(handle.communicator, isMember ? 0 : lockstep_mpi_undefined(), Int32(rank), &part),
      "MPI_Comm_split")
    return isMember ? try MPICommunicator(MPIHandle(part)) : nil
  }

  /// The corresponding C function is `MPI_Bcast`.
  public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws {
    var offset = 0
    // Counts are Int32, so large buffers travel in pieces.
    while offset < bytes.count {
      let count = min(bytes.count - offset, 1 << 30)
      try check(
        MPI_Bcast(bytes.baseAddress! + offset, Int32(count), lockstep_mpi_byte(), Int32(root), handle.communicator),
        "MPI_Bcast")
      offset += count
    }
  }

  /// The corresponding C function is `MPI_Allgatherv`, in place; ranks of one machine take the memory that they share.
  public func allGather(_ bytes: UnsafeMutableRawBufferPointer, counts: [Int]) throws {
    invariant(counts.count == size && counts.reduce(0, +) == bytes.count, "allGather's parts do not fill its buffer")
    if let meeting, machines.count == 1, counts.allSatisfy({ $0 <= MachineMeeting.capacity }) {
      return meeting.allGather(bytes, counts: counts)
    }
    var offsets: [Int] = []
    var offset = 0
    for count in counts {
      offsets.append(offset)
      offset += count
    }
    try check(
      MPI_Allgatherv(
        lockstep_mpi_in_place(), 0, lockstep_mpi_byte(), bytes.baseAddress, try counts.map(narrowed),
        try offsets.map(narrowed), lockstep_mpi_byte(), handle.communicator), "MPI_Allgatherv")
  }

  /// The corresponding C function is `MPI_Alltoallv`.
  public func allToAll(
    send: UnsafeRawPointer?, parts sendParts: [Range<Int>],
    receive: UnsafeMutableRawPointer?, parts receiveParts: [Range<Int>]
  ) throws {
    try check(
      MPI_Alltoallv(
        send, try sendParts.map { try narrowed($0.count) }, try sendParts.map { try narrowed($0.lowerBound) },
        lockstep_mpi_byte(), receive, try receiveParts.map { try narrowed($0.count) },
        try receiveParts.map { try narrowed($0.lowerBound) }, lockstep_mpi_byte(), handle.communicator), "MPI_Alltoallv"
    )
  }

  /// The corresponding C function is `MPI_Abort`.
  public func abort() -> Never {
    MPI_Abort(handle.communicator, 1)
    exit(1)
  }

  /// MPI counts are Int32.
  private func narrowed(_ count: Int) throws -> Int32 {
    guard let count = Int32(exactly: count) else {
      throw LockstepError("a message of \(count) bytes is beyond MPI's limit of \(Int32.max); use more ranks")
    }
    return count
  }
}

extension MachineMeeting {
  /// The meeting of a machine's ranks, which all make it.
  fileprivate convenience init(_ local: MPIHandle) throws {
    let size = try local.number(MPI_Comm_size, "MPI_Comm_size")
    self.init(
      try local.sharedMemory(bytes: Self.regionBytes), index: try local.number(MPI_Comm_rank, "MPI_Comm_rank"),
      patience: Barrier.Patience(ranks: size, threads: 1))
  }
}
