import CMPI
import Tensors

/// MPI's handle of a communicator, an address that never changes.
struct MPIHandle: @unchecked Sendable {
  let communicator: MPI_Comm?

  init(_ communicator: MPI_Comm?) { self.communicator = communicator }

  /// The number that a function such as `MPI_Comm_rank` gives.
  func number(_ function: (MPI_Comm?, UnsafeMutablePointer<Int32>) -> Int32, _ name: String) throws -> Int {
    var number: Int32 = 0
    try check(function(communicator, &number), name)
    return Int(number)
  }

  /// Every rank's value, in rank order. The corresponding C function is `MPI_Allgather`.
  func gathered<Value: BitwiseCopyable>(_ value: Value) throws -> [Value] {
    let count = try number(MPI_Comm_size, "MPI_Comm_size")
    return try withUnsafeBytes(of: value) { value in
      try Array(unsafeUninitializedCapacity: count) { all, initializedCount in
        try check(
          MPI_Allgather(
            value.baseAddress, Int32(value.count), lockstep_mpi_byte(), all.baseAddress, Int32(value.count),
            lockstep_mpi_byte(), communicator), "MPI_Allgather")
        initializedCount = count
      }
    }
  }

  // MARK: - Ranks that share memory

  /// The ranks of each machine; each rank by itself where those of one cannot share memory.
  ///
  /// - Parameter local: the communicator of this rank's machine.
  func ranksByMachine(_ local: MPIHandle) throws -> [[Int]] {
    let first = try local.gathered(number(MPI_Comm_rank, "MPI_Comm_rank"))[0]
    let firsts = try gathered(first)
    let canShare = try gathered(local.sharedPages(bytes: 1) != nil)
    let machines = Dictionary(grouping: firsts.indices) { firsts[$0] }.values.sorted { $0[0] < $1[0] }
    return machines.flatMap { machine in
      machine.allSatisfy { canShare[$0] } ? [machine] : machine.map { [$0] }
    }
  }

  /// Memory of which each of the ranks gives `bytes`; an error on all of them if there is none to be had.
  func sharedMemory(bytes: Int) throws -> SharedMemory {
    guard let pages = try sharedPages(bytes: bytes) else {
      throw LockstepError("the ranks of this machine cannot share memory: one of them could not get \(bytes) bytes")
    }
    return SharedMemory(pages)
  }

  /// Pages of each of the ranks, mapped by all of them; nil on all of them if one has failed.
  private func sharedPages(bytes: Int) throws -> [SharedPages]? {
    let rank = try number(MPI_Comm_rank, "MPI_Comm_rank")
    let mine = SharedPages(count: bytes)
    let addresses = try gathered(mine?.address ?? SharedPages.Address())
    let pages = addresses.enumerated().map { $0.offset == rank ? mine : SharedPages(at: $0.element) }
    let isComplete = try gathered(pages.allSatisfy { $0 != nil }).allSatisfy { $0 }
    return isComplete ? pages.compactMap { $0 } : nil
  }
}

/// Turns a code that is not `MPI_SUCCESS` into an error.
func check(_ code: Int32, _ function: String) throws {
  if code != MPI_SUCCESS { throw MPIError(function: function, code: code) }
}
