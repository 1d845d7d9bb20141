import Collectives
import Datasets
import Foundation
import Layers
import Models
import Tensors
import Training

extension AccuracyBench {
  /// The models that a few steps make of the same start on one layout.
  public struct Layout: Codable, Sendable {
    public let workers: Int
    package let samplesPerWorker: Int
    /// Fingerprints of the models.
    package let sync: String
    package let local: String
    /// On one worker.
    package let ghost: String
  }

  static let layoutSteps = 3

  /// What was found on a layout, in a line.
  public func summary(_ layout: Layout) -> String {
    "\(layout.workers) workers x \(layout.samplesPerWorker) samples: local is"
      + " \(layout.local == layout.ghost ? "" : "NOT ")ghost:\(layout.samplesPerWorker)"
  }

  /// The numbers of workers to check: one, and those that have the samples of each measurement.
  public var layouts: [Int] { [1] + samplesPerWorker.sorted(by: >).map { options.globalBatchSize / $0 } }

  /// Trains a few steps on that many threads of this process with sync and local statistics, and on one thread with those
  /// of groups of as many samples. More threads than CPUs take turns.
  public func layout(workers: Int, _ data: Dataset) throws -> Layout {
    let samples = options.globalBatchSize / workers
    func fingerprint(_ statistics: Statistics, threads: Int) throws -> String {
      var options = options
      options.length = .steps(Self.layoutSteps)
      // As many for every layout, and enough for the largest.
      options.shards = layouts.max()
      options.threads = threads
      let untested = Dataset(
        name: data.name, classCount: data.classCount, train: data.train, test: nil, augmentation: data.augmentation)
      let trainer = try trainer(.batch(statistics), untested, options, ThreadCommunicator.alone)
      try trainer.train { _ in }
      let model = trainer.model
      return Fingerprint.of(model.names.map { model[$0]!.data })
    }
    return Layout(
      workers: workers, samplesPerWorker: samples, sync: try fingerprint(.sync, threads: workers),
      local: try fingerprint(.local, threads: workers), ghost: try fingerprint(.ghost(samples), threads: 1))
  }
}
