import ArgumentParser
import Collectives
import Foundation
import Reports
import Tensors

/// The command `lockstep`.
struct LockstepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lockstep",
    abstract: "Trains neural networks on CPUs, over threads and MPI ranks, with batch norm over the whole batch.",
    discussion: """
      The same run gives the same model, bit for bit, on any number of threads and ranks.

        lockstep train                                the embedded default
        mpirun -np 2 --bind-to none lockstep train    the same on two ranks
        mpirun -np 2 --bind-to none lockstep train --model resnet20 \\
          --dataset cifar10 --data DIR --epochs 10
        lockstep inspect --model vgg11                what a network consists of
        lockstep bench step --model resnet20          how fast it trains here
      """,
    version: "0.1.0",
    subcommands: [
      TrainCommand.self, EvaluateCommand.self, InspectCommand.self, BenchCommand.self, ExperimentCommand.self,
      TuneCommand.self,
    ])
}

/// A subcommand that all ranks run together.
protocol JobCommand: ParsableCommand {
  func run(_ job: Job) throws
}

@main
enum Main {
  static func main() {
    let communicator: any Communicator
    do {
      communicator = try Job.makeCommunicator()
    } catch {
      Terminal.writeError("lockstep: \(error)")
      exit(1)
    }
    do {
      let command = try parse(communicator)
      let job = try Job(communicator)
      try job.requireSameProgram(subcommand: type(of: command)._commandName)
      try command.run(job)
      leave(communicator, code: 0)
    } catch let error as SharedError {
      // Every rank is here: one speaks, and all leave in good order.
      if communicator.rank == 0 { Terminal.writeError("lockstep: \(error)") }
      leave(communicator, code: 1)
    } catch {
      let place = communicator.size > 1 ? "rank \(communicator.rank): " : ""
      Terminal.writeError("lockstep: \(place)\(error)")
      if communicator.size > 1 { communicator.abort() }
      leave(communicator, code: 1)
    }
  }

  /// Parses the arguments; a mistake in them, or a request for help, ends the program here on all ranks.
  private static func parse(_ communicator: any Communicator) throws -> any JobCommand {
    let outcome = Result { () throws -> any JobCommand in
      var parsed = try LockstepCommand.parseAsRoot(joined(Array(CommandLine.arguments.dropFirst())))
      if let command = parsed as? any JobCommand { return command }
      try parsed.run()  // prints the help
      throw CleanExit.message("")
    }
    var message = ""
    var code: Int32 = 0
    if case .failure(let error) = outcome {
      code = LockstepCommand.exitCode(for: error).rawValue
      message = "\(code)\n" + LockstepCommand.fullMessage(for: error)
    }
    let messages = try communicator.allGather(message)
    if let first = messages.firstIndex(where: { !$0.isEmpty }) {
      if communicator.rank == 0 {
        let text = String(messages[first].drop { $0 != "\n" }.dropFirst())
        if messages[first].hasPrefix("0\n") { print(text) } else { Terminal.writeError(text) }
      }
      leave(communicator, code: Int32(messages[first].prefix { $0 != "\n" }) ?? 1)
    }
    return try outcome.get()
  }

  /// Joins options with negative numbers behind them, which the parser would take for options too.
  private static func joined(_ words: [String]) -> [String] {
    words.reduce(into: []) { joined, word in
      if let option = joined.last, option.hasPrefix("--"), !option.contains("="), word.hasPrefix("-"),
        Double(word) != nil
      {
        joined[joined.count - 1] = "\(option)=\(word)"
      } else {
        joined.append(word)
      }
    }
  }

  private static func leave(_ communicator: any Communicator, code: Int32) -> Never {
    (communicator as? MPICommunicator)?.finalize()
    exit(code)
  }
}
