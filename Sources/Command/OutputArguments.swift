import ArgumentParser
import Collectives
import Foundation
import Reports

/// Where a bench or an experiment writes its page.
struct OutputArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write here: results.json, the charts as SVG files, and index.html, the page to read. (default: a new folder, named after the command and the time)",
      valueName: "folder"))
  var output: String?

  @Flag(help: "Go on from the results in the folder, after an interruption.")
  var resume = false

  func validate() throws {
    if resume, output == nil { throw ValidationError("--resume needs --output, the folder to go on from.") }
  }

  /// What all ranks must have been given alike.
  var options: [(name: String, value: String)] { [("output", output ?? "unset"), ("resume", "\(resume)")] }

  /// The folder, and what an earlier run has left in it; the same results on every rank.
  ///
  /// - Parameters:
  ///   - name: the command's, for a folder that nobody has named.
  ///   - options: what decides the results, by its name on the command line.
  func open<Results: Codable>(
    _: Results.Type, named name: String, options: [(name: String, value: String)], _ job: Job
  ) throws -> (folder: OutputFolder, results: Results?) {
    let now = Date().formatted(
      .verbatim(
        "\(year: .defaultDigits)\(month: .twoDigits)\(day: .twoDigits)-\(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased))\(minute: .twoDigits)\(second: .twoDigits)",
        timeZone: .current, calendar: Calendar(identifier: .gregorian)))
    let folder = OutputFolder(output ?? "\(name)-\(now)", options: options, facts: job.facts)
    let results = try job.communicator.agree {
      job.isFirst ? try folder.open(Results.self, resumes: resume) : nil
    }
    return (folder, try job.broadcast(results))
  }
}
