import Foundation
import Layers
import Models
import Support
import Tensors
import Testing
import Training

/// A worker that is slower than the others, so that they take over its slices: the same bits.
@Suite(.serialized) struct StealingTests {
  /// Stops one worker in its first slice of each segment until the others have done all that they may, and counts what each
  /// worker has done.
  private final class SlowWorker: StepObserver, @unchecked Sendable {
    private struct Progress {
      /// The operations that a worker has finished.
      var (forward, backward) = (0, 0)
      /// The passes through a segment that it has finished, and how many it had when it last began one, and when it last
      /// had nothing left to take.
      var (segments, begun, done) = (0, -1, -1)
    }

    private let slow: Int
    private let progress: Locked<[Progress]>

    init(_ slow: Int, of workers: Int) {
      self.slow = slow
      progress = Locked(Array(repeating: Progress(), count: workers))
    }

    func finished(_ part: StepPart, worker: Int) {
      let begins = progress.withLock { workers in
        switch part {
        case .forward: workers[worker].forward += 1
        case .backward: workers[worker].backward += 1
        case .waiting:
          // Also a worker that began nothing: its first shard had no samples, and others took the rest.
          workers[worker].done = workers[worker].segments
          return false
        case .meeting:
          workers[worker].segments += 1
          return false
        default: return false
        }
        defer { workers[worker].begun = workers[worker].segments }
        return workers[worker].begun < workers[worker].segments
      }
      guard begins else { return }
      // What a worker has not opened cannot be taken, and waking up for it takes longer than some of these segments.
      while !progress.withLock({ mayGoOn(worker, $0) }) { usleep(200) }
    }

    private func mayGoOn(_ worker: Int, _ workers: [Progress]) -> Bool {
      worker == slow
        ? workers.indices.allSatisfy { $0 == slow || workers[$0].done >= workers[slow].segments }
        : workers[slow].begun >= workers[worker].segments
    }

    /// Whether another worker has done more than the slow one, on the way forward and on the way back.
    var isRelieved: Bool {
      progress.withLock { workers in
        let slow = workers[slow]
        return workers.contains { $0.forward > slow.forward } && workers.contains { $0.backward > slow.backward }
      }
    }
  }

  private func expectSameBits(_ run: TrainingRun, threads: [Int] = [2, 4]) throws {
    let reference = try run.outcome(ranks: 1, threads: 1)
    for threads in threads {
      for slow in [0, threads - 1] {
        var slowed = run
        let observer = SlowWorker(slow, of: threads)
        slowed.observer = observer
        let outcome = try within { [slowed] in try slowed.outcome(ranks: 1, threads: threads) }
        let difference = outcome.difference(from: reference)
        #expect(difference == nil, "\(threads) threads, worker \(slow) slow")
        #expect(observer.isRelieved, "\(threads) threads, worker \(slow) slow")
      }
    }
  }

  /// Large enough that shards are cut into several slices; the last batch leaves a shard without samples, but no worker.
  private func run(_ model: @escaping @Sendable (SampleShape) throws -> any Layer) -> TrainingRun {
    let input = SampleShape(channels: 3, height: 32, width: 32)
    var run = TrainingRun(input: input, batchSize: 45) { try model(input) }
    (run.lastBatchSize, run.steps, run.shards) = (7, 3, 8)
    return run
  }

  @Test(arguments: [Precision.float32, .bfloat16]) func residualNetwork(precision: Precision) throws {
    var run = run { try ModelZoo.model("resnet20", ModelOptions(input: $0, classCount: 10, dropout: 0.1)) }
    run.precision = precision
    try expectSameBits(run)
  }

  @Test(arguments: [ModelOptions.Normalization.group, .layer])
  func sampleNorms(normalization: ModelOptions.Normalization) throws {
    let run = run {
      try ModelZoo.model("resnet20", ModelOptions(input: $0, classCount: 10, normalization: normalization))
    }
    try expectSameBits(run, threads: [2])
  }

  /// Groups of samples that begin and end within shards, noise, and masks that outlive their slice.
  @Test func ghostBatches() throws {
    let run = run { _ in
      Sequential {
        Convolution(32, kernel: 5, padding: 2)
        BatchNorm(statistics: .ghost(7))
        ActivationNoise()
        Dropout(0.1)
        Convolution(32, kernel: 3, padding: 1)
        BatchNorm(statistics: .ghost(7))
        ReLU()
        MaxPooling(2)
        GlobalAveragePooling()
        Linear(10)
      }
    }
    try expectSameBits(run, threads: [2])
  }

  /// `local` depends on the layout, not on who computes.
  @Test func localStatistics() throws {
    let run = run {
      try ModelZoo.model("resnet20", ModelOptions(input: $0, classCount: 10, normalization: .batch(.local)))
    }
    var slowed = run
    let observer = SlowWorker(0, of: 2)
    slowed.observer = observer
    let outcome = try within { [slowed] in try slowed.outcome(ranks: 1, threads: 2) }
    #expect(try outcome.difference(from: run.outcome(ranks: 1, threads: 2)) == nil)
    #expect(observer.isRelieved)
  }
}
