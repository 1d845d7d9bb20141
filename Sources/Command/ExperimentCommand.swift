import ArgumentParser

struct ExperimentCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "experiment", abstract: "Do an experiment of a paper again, and write a page about it.",
    subcommands: [BatchNormMNISTCommand.self, SmoothnessCommand.self])
}

/// How much of an experiment is done.
enum ExperimentForm: String, EnumerableFlag {
  case quick, full

  static func help(for form: ExperimentForm) -> ArgumentHelp? {
    switch form {
    case .quick: "Less of everything, in minutes."
    case .full: "What the paper did."
    }
  }
}
