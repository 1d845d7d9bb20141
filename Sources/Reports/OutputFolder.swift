import Foundation
import Tensors

/// The folder into which a bench or an experiment writes: `results.json`, a file per chart, `index.html`.
///
///     let folder = OutputFolder(path, options: identity, facts: facts)
///     var results = try folder.open(Results.self, resumes: resume) ?? Results()
///     ... measure, and after each measurement
///     try folder.write(page(results), results)
///
/// What is written is whole at any moment, so that a run that is stopped leaves what it has measured, and another goes
/// on from there.
public struct OutputFolder: Sendable {
  public let path: String
  private let options: [String: String]
  private let facts: RunFacts

  /// - Parameter options: what decides the results, by its name on the command line.
  public init(_ path: String, options: [(name: String, value: String)], facts: RunFacts) {
    self.path = path
    self.options = Dictionary(uniqueKeysWithValues: options.map { ($0.name, $0.value) })
    self.facts = facts
  }

  /// Makes the folder, finds out whether it can be written to, and reads what an earlier run has left.
  ///
  /// - Returns: the earlier run's results, if there are any to go on from.
  /// - Throws: `LockstepError` if there are results but `resumes` is not set, or they are of other options.
  public func open<Results: Decodable>(_: Results.Type, resumes: Bool) throws -> Results? {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw LockstepError("cannot make the folder \(path): \(systemReason(error, path))")
    }
    let file = resultsFile
    try AtomicFile.checkWritable(file)
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    guard resumes else {
      throw LockstepError("\(path) holds results; add --resume to go on from them, or choose another folder")
    }
    let record: Record<Results>
    do {
      record = try JSONDecoder().decode(Record<Results>.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
    } catch {
      throw LockstepError("\(file) cannot be gone on from: it is damaged, or another command's; choose another folder")
    }
    for name in Set(options.keys).union(record.options.keys).sorted() where options[name] != record.options[name] {
      throw LockstepError(
        "\(path) holds results of --\(name) \(record.options[name] ?? "unset"), not of \(options[name] ?? "unset");"
          + " give the same options, or choose another folder")
    }
    return record.results
  }

  /// Writes the page, its charts and the results.
  public func write(_ page: Page, _ results: some Encodable) throws {
    let record = Record(facts: facts, options: options, results: results)
    try write(Formats.json(record), to: resultsFile)
    for figure in page.figures { try write(figure.chart.file(id: figure.name), to: "\(path)/\(figure.name).svg") }
    try write(page.html(facts), to: "\(path)/index.html")
  }

  private var resultsFile: String { "\(path)/results.json" }

  private func write(_ text: String, to file: String) throws { try AtomicFile.write([Data(text.utf8)], to: file) }
}

/// What `results.json` holds.
private struct Record<Results> {
  var facts: RunFacts
  var options: [String: String]
  var results: Results
}

extension Record: Encodable where Results: Encodable {}
extension Record: Decodable where Results: Decodable {}
