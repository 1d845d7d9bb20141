import ArgumentParser
import Collectives
import Foundation
import Kernels
import Reports
import Tensors
import Training

/// This process as one rank of a job.
struct Job {
  let communicator: any Communicator
  /// The CPUs of the rank that has the fewest: those it may use, or its share of the machine's where ranks are not bound.
  private let processors: Int

  /// Called by every rank.
  init(_ communicator: any Communicator) throws {
    self.communicator = communicator
    let mine = min(Machine.availableProcessors, max(1, Machine.processorCount / communicator.localSize))
    processors = try communicator.allGather("\(mine)").compactMap { Int($0) }.min() ?? mine
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

  /// What this job's numbers come from.
  var facts: RunFacts { RunFacts(version: LockstepCommand.configuration.version, ranks: communicator.size) }

  /// What rank 0 holds, on every rank.
  func broadcast<Value: Codable>(_ value: Value) throws -> Value {
    let bytes = try communicator.fromFirst { try Data(Formats.json([value]).utf8) }
    return try JSONDecoder().decode([Value].self, from: bytes!)[0]
  }

  /// A file of parameters on every rank; rank 0 reads it.
  func parameters(of path: String) throws -> Safetensors {
    let bytes = try communicator.fromFirst { try fileBytes(of: path) }
    return try communicator.agree { try Safetensors(bytes!, from: path) }
  }

  /// Takes a file of parameters, which rank 0 reads.
  func initialize(_ trainer: Trainer, from path: String) throws {
    let file = try parameters(of: path)
    try communicator.agree { try trainer.initialize(from: file, source: path) }
  }

  /// The threads of each rank if none are asked for: its CPUs, but no more than have a shard of every batch.
  func defaultThreads(shards: Int) -> Int { min(processors, max(1, shards / communicator.size)) }

  /// Ends the job if ranks run different builds of the program or different subcommands, or compute with different
  /// instructions: those decide the bits, and how parameters lie in memory.
  func requireSameProgram(subcommand: String) throws {
    if let other = try difference(Self.buildIdentity) {
      throw SharedError(
        "rank \(other.rank) runs another build of lockstep than rank 0; install the same one on every host")
    }
    if let other = try difference("\(InstructionSet.name), \(InstructionSet.libraryVersion)") {
      throw SharedError(
        "rank \(other.rank) computes with \(other.text), but rank 0 with \(other.first); take hosts that are alike, or"
          + " set ONEDNN_MAX_CPU_ISA on all of them to what the least one has, as in AVX2")
    }
    if let other = try difference(subcommand) {
      throw SharedError(
        "ranks were launched with different subcommands: \(other.first) on rank 0, but \(other.text) on rank"
          + " \(other.rank)")
    }
  }

  /// The first rank whose text is another than rank 0's, and both texts.
  private func difference(_ text: String) throws -> (rank: Int, text: String, first: String)? {
    let texts = try communicator.allGather(text)
    return texts.firstIndex { $0 != texts[0] }.map { ($0, texts[$0], texts[0]) }
  }

  /// Ends the job if ranks were launched with different options.
  ///
  /// - Parameter options: what must be the same everywhere, by its name on the command line; the same names on all ranks.
  func requireSame(_ options: [(name: String, value: String)]) throws {
    let texts = try communicator.allGather(options.map(\.value).joined(separator: "\0"))
    let values = texts.map { $0.split(separator: "\0", omittingEmptySubsequences: false) }
    for rank in values.indices {
      for (index, option) in options.enumerated() where values[rank][index] != values[0][index] {
        throw SharedError(
          "ranks were launched with different options: --\(option.name) is \(values[0][index]) on rank 0, but"
            + " \(values[rank][index]) on rank \(rank)")
      }
    }
  }

  /// The executable's bytes.
  private static var buildIdentity: String {
    let executable = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe"), options: .alwaysMapped)
    return executable.map { Fingerprint.of([$0]) } ?? "unknown"
  }

  /// One line that says what computes, and a warning if threads outnumber CPUs.
  func announce(_ options: TrainingOptions, _ subject: String) throws {
    let (ranks, threads) = (communicator.size, options.threads)
    let available = try communicator.allGather("\(Machine.availableProcessors)").compactMap { Int($0) }
    let fewest = available.min() ?? 1
    let cpus = Set(available).count == 1 ? "\(fewest)" : "\(fewest) to \(available.max() ?? 1)"
    let shards = options.effectiveShards
    print(
      "\(Formats.count(ranks, "rank")) x \(Formats.count(threads, "thread")),"
        + " \(cpus) CPU\(cpus == "1" ? "" : "s") per rank, \(InstructionSet.name) in \(options.precision.rawValue),"
        + " \(Formats.count(shards, "shard")) of a batch of \(options.globalBatchSize); \(subject)")
    if fewest < threads {
      print(
        "warning: \(threads) threads per rank, but launched so that a rank may use only"
          + " \(Formats.count(fewest, "CPU")); launch with mpirun --bind-to none, or --map-by slot:PE=\(threads)")
    } else if communicator.localSize * threads > Machine.processorCount {
      print(
        "warning: \(communicator.localSize) ranks x \(Formats.count(threads, "thread")) on a machine of \(Machine.processorCount) CPUs"
          + " will wait for each other; use fewer")
    } else if fewest > threads, ranks * (threads + 1) > shards {
      print(
        "note: \(threads) of \(fewest) CPUs per rank compute, because a batch has \(shards) shards; more of them, and"
          + " larger batches, are for more workers")
    }
  }
}
