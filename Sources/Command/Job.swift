import Collectives
import Foundation
import Kernels
import Reports
import Tensors
import Training

/// This process as one rank of a job.
struct Job {
  let communicator: any Communicator

  init(_ communicator: any Communicator) {
    self.communicator = communicator
  }

  /// MPI's, if a launcher started this process; otherwise that of a process alone.
  static func makeCommunicator() throws -> any Communicator {
    MPICommunicator.isLaunched ? try MPICommunicator() : ThreadCommunicator.alone
  }

  var isFirst: Bool { communicator.rank == 0 }

  /// Prints on rank 0.
  func print(_ text: String) {
    if isFirst { Terminal.write(text + "\n") }
  }

  /// The threads of each rank if none are asked for: the CPUs this rank may use, or its share of the machine's where
  /// ranks are not bound.
  var defaultThreads: Int {
    min(Machine.availableProcessors, max(1, Machine.processorCount / communicator.localSize))
  }

  /// Ends the job if ranks were launched with different options or builds.
  ///
  /// - Parameter options: what must be the same everywhere, by name.
  func requireSame(_ options: [(name: String, value: String)]) throws {
    let all = options + [("build", Self.buildIdentity)]
    let text = all.map { "\($0.name)\u{1}\($0.value)" }.joined(separator: "\u{2}")
    let texts = try communicator.allGather(text)
    guard let other = texts.indices.first(where: { texts[$0] != texts[0] }) else { return }
    func fields(_ rank: Int) -> [(String, String)] {
      texts[rank].split(separator: "\u{2}").map { field in
        let parts = field.split(separator: "\u{1}", omittingEmptySubsequences: false).map(String.init)
        return (parts[0], parts.count > 1 ? parts[1] : "")
      }
    }
    for (mine, theirs) in zip(fields(0), fields(other)) where mine != theirs {
      if mine.0 == "build" {
        throw try shared("rank \(other) runs another build of lockstep than rank 0; install the same one on every host")
      }
      throw try shared(
        "ranks were launched with different options: --\(mine.0) is \(mine.1) on rank 0, but \(theirs.1) on rank \(other)"
      )
    }
    throw try shared("ranks were launched with different subcommands or versions of lockstep")
  }

  /// An error that all ranks throw, since all have compared the same texts.
  private func shared(_ text: String) throws -> any Error {
    do {
      try communicator.agree { throw LockstepError(text) }
      return LockstepError(text)
    } catch {
      return error
    }
  }

  /// A hash (FNV-1a) of the executable.
  private static var buildIdentity: String {
    guard let executable = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe"), options: .alwaysMapped) else {
      return "unknown"
    }
    let hash = executable.withUnsafeBytes { bytes in
      bytes.bindMemory(to: UInt64.self).reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x100_0000_01b3 }
    }
    return String(hash, radix: 16)
  }

  /// One line that says what computes, and a warning if threads outnumber CPUs.
  func announce(_ options: TrainingOptions, _ subject: String) throws {
    let (ranks, threads) = (communicator.size, options.threads)
    let available = try communicator.allGather("\(Machine.availableProcessors)").compactMap { Int($0) }
    let fewest = available.min() ?? 1
    let cpus = Set(available).count == 1 ? "\(fewest)" : "\(fewest) to \(available.max() ?? 1)"
    let shards = options.shards ?? TrainingOptions.defaultShards(globalBatchSize: options.globalBatchSize)
    print(
      "\(ranks) rank\(ranks == 1 ? "" : "s") x \(threads) thread\(threads == 1 ? "" : "s"),"
        + " \(cpus) CPU\(cpus == "1" ? "" : "s") per rank, \(InstructionSet.name),"
        + " \(shards) shards of a batch of \(options.globalBatchSize); \(subject)")
    if fewest < threads {
      print(
        "warning: \(threads) threads per rank, but launched so that a rank may use only \(fewest)"
          + " CPU\(fewest == 1 ? "" : "s"); launch with mpirun --bind-to none, or --map-by slot:PE=\(threads)")
    } else if communicator.localSize * threads > Machine.processorCount {
      print(
        "warning: \(communicator.localSize) ranks x \(threads) threads on a machine of \(Machine.processorCount) CPUs"
          + " will wait for each other; use fewer")
    }
  }
}
