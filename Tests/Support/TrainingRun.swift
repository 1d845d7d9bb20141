import Collectives
import Layers
import Tensors
import Training

/// A few steps of training on keyed random data, in process, on any grid of workers.
package struct TrainingRun: Sendable {
  package var input: SampleShape
  package var classCount = 10
  package var batchSize: Int
  /// The size of every last batch of an epoch of three; nil if all are full.
  package var lastBatchSize: Int?
  package var shards = 8
  package var steps = 4
  package var learningRate: Float = 0.05
  package var optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
  package var precision = Precision.float32
  package var seed: UInt64 = 1
  package var observer: (any StepObserver)?
  package var model: @Sendable () throws -> any Layer

  package init(input: SampleShape, batchSize: Int, model: @escaping @Sendable () throws -> any Layer) {
    self.input = input
    self.batchSize = batchSize
    self.model = model
  }

  package struct Outcome: Sendable, Equatable {
    package var model: Safetensors
    package var losses: [Double]
    package var evaluation: BatchResult

    /// The first thing in which two outcomes differ.
    package func difference(from other: Outcome) -> String? {
      if losses != other.losses { return "losses \(losses) and \(other.losses)" }
      if evaluation != other.evaluation { return "evaluations \(evaluation) and \(other.evaluation)" }
      let name = model.names.first { model[$0] != other.model[$0] }
      return name.map { "tensor \($0)" }
    }
  }

  /// Trains and evaluates on ranks x threads; all ranks must agree.
  package func outcome(ranks: Int, threads: Int) throws -> Outcome {
    try outcome(machines: [Array(0..<ranks)], threads: threads)
  }

  /// The same with the ranks on several machines.
  package func outcome(machines: [[Int]], threads: Int) throws -> Outcome {
    let outcomes = try asRanks(machines) { try outcome($0, threads: threads) }
    for outcome in outcomes {
      if let difference = outcome.difference(from: outcomes[0]) { throw LockstepError("ranks disagree: \(difference)") }
    }
    return outcomes[0]
  }

  private func outcome(_ communicator: any Communicator, threads: Int) throws -> Outcome {
    let network = try Network(model(), input: input, classCount: classCount)
    let engine = try Engine(
      network, communicator: communicator, threads: threads,
      batchSizes: [batchSize] + (lastBatchSize.map { [$0] } ?? []),
      shards: shards, optimizer: optimizer, seed: seed, patience: .oversubscribed,
      precision: precision)
    engine.observer = observer
    var losses: [Double] = []
    for step in 0..<steps {
      let size = step % 3 == 2 ? lastBatchSize ?? batchSize : batchSize
      let result = try engine.train(batch(step, size, engine), learningRate: learningRate)
      losses.append(result.loss)
    }
    let evaluation = try engine.evaluate(batch(steps, batchSize - 3, engine))
    return Outcome(model: engine.model, losses: losses, evaluation: evaluation)
  }

  /// Sample i of batch b is a function of (seed, b, i).
  private func batch(_ batch: Int, _ size: Int, _ engine: Engine) -> Batch {
    let samples = engine.samples(globalCount: size)
    var x: [Float] = []
    var labels: [Int32] = []
    for sample in samples {
      var random = KeyedRandom(seed: seed, .data, batch, sample)
      let label = Int32(random.integer(below: classCount))
      labels.append(label)
      for _ in 0..<input.count { x.append(random.normal() + Float(label) * 0.1) }
    }
    return Batch(x, labels, input, globalCount: size)
  }
}
