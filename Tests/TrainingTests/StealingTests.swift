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
    let slow: Int
    private let counts: Locked<[Int: (forward: Int, backward: Int)]>
    /// The workers that have begun the segment that they are in.
    private let begun = Locked<Set<Int>>([])

    init(_ slow: Int) {
      self.slow = slow
      counts = Locked([:])
    }

    func finished(_ part: StepPart, worker: Int) {
      switch part {
      case .forward: counts.withLock { $0[worker, default: (0, 0)].forward += 1 }
      case .backward: counts.withLock { $0[worker, default: (0, 0)].backward += 1 }
      case .meeting:
        _ = begun.withLock { $0.remove(worker) }
        return
      default: return
      }
      guard begun.withLock({ $0.insert(worker).inserted }) else { return }
      // What a worker has not opened cannot be taken, and waking up for it takes longer than some of these segments.
      if worker == slow { waitForRest() } else { usleep(2_000) }
    }

    /// Until the others have finished nothing for a while. A fixed delay would not do: with fewer cores than workers the
    /// others are slow too.
    private func waitForRest() {
      var before = -1
      while true {
        let now = counts.withLock { $0.values.reduce(0) { $0 + $1.forward + $1.backward } }
        if now == before { return }
        before = now
        usleep(5_000)
      }
    }

    /// Whether another worker has done more than the slow one, on the way forward and on the way back.
    var isRelieved: Bool {
      let counts = counts.withLock { $0 }
      let slow = counts[slow]!
      return counts.values.contains { $0.forward > slow.forward }
        && counts.values.contains { $0.backward > slow.backward }
    }
  }

  private func expectSameBits(_ run: TrainingRun, threads: [Int] = [2, 4]) throws {
    let reference = try run.outcome(ranks: 1, threads: 1)
    for threads in threads {
      for slow in [0, threads - 1] {
        var slowed = run
        let observer = SlowWorker(slow)
        slowed.observer = observer
        let outcome = try within { [slowed] in try slowed.outcome(ranks: 1, threads: threads) }
        let difference = outcome.difference(from: reference)
        #expect(difference == nil, "\(threads) threads, worker \(slow) slow")
        #expect(observer.isRelieved, "\(threads) threads, worker \(slow) slow")
      }
    }
  }

  /// Large enough that shards are cut into several slices; the last batch leaves shards without samples.
  private func run(_ model: @escaping @Sendable (SampleShape) throws -> any Layer) -> TrainingRun {
    let input = SampleShape(channels: 3, height: 32, width: 32)
    var run = TrainingRun(input: input, batchSize: 45) { try model(input) }
    (run.lastBatchSize, run.steps, run.shards) = (3, 3, 4)
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
    let observer = SlowWorker(1)
    slowed.observer = observer
    let outcome = try within { [slowed] in try slowed.outcome(ranks: 1, threads: 2) }
    #expect(try outcome.difference(from: run.outcome(ranks: 1, threads: 2)) == nil)
    #expect(observer.isRelieved)
  }
}
