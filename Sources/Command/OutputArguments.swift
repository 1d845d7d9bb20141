import ArgumentParser
import Collectives
import Reports

/// Where a bench or an experiment writes its page.
struct OutputArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write here: results.json, the charts as SVG files, and index.html, the page to read.", valueName: "folder"))
  var output: String

  @Flag(help: "Go on from the results in the folder, after an interruption.")
  var resume = false

  /// The folder, and what an earlier run has left in it; the same on every rank.
  ///
  /// - Parameter options: what decides the results, by its name on the command line.
  func open<Results: Codable>(
    _: Results.Type, options: [(name: String, value: String)], _ job: Job
  ) throws -> (folder: OutputFolder, results: Results?) {
    let folder = OutputFolder(output, options: options, facts: job.facts)
    let results = try job.communicator.agree {
      job.isFirst ? try folder.open(Results.self, resumes: resume) : nil
    }
    return (folder, try job.broadcast(results))
  }
}
