import Collectives
import Kernels
import Layers
import Tensors

/// Measures a model's training step on this rank, and where its time goes.
///
/// Whole steps, profiled steps, and every kernel by itself take turns, and of each the mean of the middle half is told: the
/// machine's better and worse moments come to all of them alike.
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

  /// The process's largest resident set while it trained, in bytes.
  package let peakMemory: Int

  /// A step's seconds.
  package var seconds: Double { steps.middleHalf(by: \.self).reduce(0, +) / Double(steps.count - steps.count / 4 * 2) }

  private static let rounds = 8

  /// - Parameters:
  ///   - steps: how many to measure; half as many are profiled.
  ///   - progress: called with the share of the work done.
  public init(_ trainer: Trainer, steps: Int, progress: (Double) -> Void) throws {
    let engine = trainer.engine
    plan = engine.plan
    globalBatchSize = trainer.options.globalBatchSize
    samplesPerWorker = engine.workers.map { engine.samplesOf($0, globalCount: trainer.options.globalBatchSize) }.max()!
    let rounds = min(Self.rounds, steps)
    var (times, profiles): ([Double], [StepProfile.Record]) = ([], [])
    var (isolated, warm): ([StepProfile.Record], [StepProfile.Record]) = ([], [])
    var memory = 0
    let batch = trainer.batch(ofStep: 0)
    func seconds() throws -> Double {
      let start = ContinuousClock.now
      _ = try engine.train(batch, learningRate: 0)
      return (ContinuousClock.now - start) / .seconds(1)
    }
    for _ in 0..<(try Self.warmUpSteps(engine, like: try (0..<2).map { _ in try seconds() })) { _ = try seconds() }
    for round in 0..<rounds {
      let count = steps * (round + 1) / rounds - steps * round / rounds
      // A rank that is done with its kernels first would wait for the others in the first step, where all share their
      // parameters anew.
      if round > 0 { _ = try seconds() }
      times += try (0..<count).map { _ in try seconds() }
      profiles += try (0..<max(1, count / 2)).map { _ in try Self.profiledStep(engine, batch) }
      // Kernels by themselves need room to keep the parameters in.
      if round == 0 { memory = Machine.peakMemory }
      isolated.append(.mean(try engine.isolatedTimes(batch, .streamed)))
      warm.append(.mean(try engine.isolatedTimes(batch, .warm)))
      progress(Double(round + 1) / Double(rounds))
    }
    self.steps = times
    profile = .mean(profiles.middleHalf(by: \.total))
    self.isolated = .mean(isolated.middleHalf(by: \.total))
    self.warm = .mean(warm.middleHalf(by: \.total))
    peakMemory = memory
    peak = PeakRate.floatOperations()
  }

  /// Steps until the system has put every thread on a processor of its own, as many on all ranks.
  private static func warmUpSteps(_ engine: Engine, like steps: [Double]) throws -> Int {
    let counts = try engine.communicator.allGather("\(Int(0.25 / steps.min()!) + 2)")
    return counts.compactMap { Int($0) }.max() ?? 0
  }

  /// One worker's mean record of a step.
  static func profile(_ trainer: Trainer, warmUp: Int, steps: Int) throws -> StepProfile.Record {
    let batch = trainer.batch(ofStep: 0)
    for _ in 0..<warmUp { _ = try trainer.engine.train(batch, learningRate: 0) }
    return .mean(try (0..<steps).map { _ in try profiledStep(trainer.engine, batch) })
  }

  private static func profiledStep(_ engine: Engine, _ batch: Batch) throws -> StepProfile.Record {
    let profile = StepProfile(engine.plan, workers: engine.workers.count)
    engine.observer = profile
    defer { engine.observer = nil }
    profile.begin()
    _ = try engine.train(batch, learningRate: 0)
    return .mean(profile.records)
  }
}

extension Array {
  /// The elements left when the lowest and the highest quarter are gone.
  fileprivate func middleHalf(by key: (Element) -> Double) -> ArraySlice<Element> {
    sorted { key($0) < key($1) }[count / 4..<count - count / 4]
  }
}
