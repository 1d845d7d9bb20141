import Kernels
import Layers
import Tensors

/// Measures a model's training step on this rank, and where its time goes.
public struct StepBenchmark: Sendable {
  /// Whole steps without the profiler, in seconds, in order.
  package let steps: [Double]
  package let globalBatchSize: Int
  /// One worker's mean record of a step; workers do the same work.
  package let profile: StepProfile.Record
  /// The same with each kernel by itself, on memory as the step has it.
  package let isolated: StepProfile.Record
  /// The same with each kernel by itself in a warm cache.
  package let warm: StepProfile.Record
  /// Floating-point operations per second of one core.
  package let peak: Double
  package let plan: Plan
  /// The most samples that one worker of this rank has.
  package let samplesPerWorker: Int

  /// The process's largest resident set, in bytes.
  package let peakMemory: Int

  /// The median step's seconds.
  package var seconds: Double { steps.sorted()[steps.count / 2] }

  /// - Parameters:
  ///   - steps: how many to measure, after a few to warm up; half as many are profiled.
  ///   - progress: called with the share of the work done.
  public init(_ trainer: Trainer, steps: Int, progress: (Double) -> Void) throws {
    let engine = trainer.engine
    plan = engine.plan
    globalBatchSize = trainer.options.globalBatchSize
    samplesPerWorker = engine.workers.map { engine.samplesOf($0, globalCount: trainer.options.globalBatchSize) }.max()!
    let warmUp = max(2, steps / 5)
    let profiled = max(1, steps / 2)
    let total = Double(warmUp + steps + profiled)
    self.steps = try trainer.withBatch { batch in
      let clock = ContinuousClock()
      return try (0..<warmUp + steps).map { step in
        let start = clock.now
        _ = try engine.train(batch, learningRate: 0)
        progress(Double(step + 1) / total)
        return (clock.now - start) / .seconds(1)
      }.suffix(steps)
    }
    profile = try Self.profile(trainer, warmUp: 0, steps: profiled) { done in
      progress(Double(warmUp + steps + done) / total)
    }
    isolated = try trainer.withBatch { .mean(try engine.isolatedTimes($0, .streamed, repetitions: 5), steps: 1) }
    warm = try trainer.withBatch { .mean(try engine.isolatedTimes($0, .warm, repetitions: 5), steps: 1) }
    peakMemory = Machine.peakMemory
    peak = PeakRate.floatOperations()
  }

  /// One worker's mean record of a step.
  static func profile(
    _ trainer: Trainer, warmUp: Int, steps: Int, progress: (Int) -> Void = { _ in }
  ) throws -> StepProfile.Record {
    let engine = trainer.engine
    return try trainer.withBatch { batch in
      for _ in 0..<warmUp { _ = try engine.train(batch, learningRate: 0) }
      let profile = StepProfile(engine.plan, workers: engine.workers.count)
      engine.observer = profile
      defer { engine.observer = nil }
      for step in 0..<steps {
        profile.begin()
        _ = try engine.train(batch, learningRate: 0)
        progress(step + 1)
      }
      return .mean(profile.records, steps: steps)
    }
  }
}

extension StepProfile.Record {
  fileprivate static func mean(_ records: [StepProfile.Record], steps: Int) -> StepProfile.Record {
    var result = records[0]
    let scale = 1 / Double(records.count * steps)
    func mean(_ path: WritableKeyPath<StepProfile.Record, Double>) {
      result[keyPath: path] = scale * records.reduce(0) { $0 + $1[keyPath: path] }
    }
    for path in [\StepProfile.Record.preparation, \.conversions, \.meetings, \.additions, \.update] { mean(path) }
    for index in result.forward.indices {
      mean(\.forward[index])
      mean(\.again[index])
      mean(\.backward[index])
    }
    return result
  }
}
