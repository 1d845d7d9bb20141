import Collectives
import Kernels
import Tensors

/// What is being done with a batch.
package enum Mode: Sendable {
  case training
  case evaluation
}

/// A computing thread: the shards it owns of the current batch, and its memory.
///
/// Sendable: belongs to one thread of the team while a step runs, and to the team's caller in between.
package final class Worker: @unchecked Sendable {
  /// This worker's number within its rank.
  package let index: Int
  package let grid: WorkerGrid
  package let communicator: any Communicator
  package let barrier: Barrier
  package let kernels = KernelContext()
  package let seed: UInt64

  // MARK: - The current batch

  package var partition: BatchPartition
  package var mode = Mode.training
  /// The running number of the optimizer's step, from 0: the key of dropout's masks.
  package var step = 0
  /// The labels of this worker's samples.
  package var labels: UnsafePointer<Int32>!
  /// Whether a gradient wants the loss's scale: 1 / the samples of the global batch.
  package var lossScale: Float { 1 / Float(partition.globalCount) }

  // MARK: - Memory

  /// The address of each value; of the worker's first sample if the value is kept, else of the slice's.
  package var values: [UnsafeMutablePointer<Float>?] = []
  package var valueIsKept: [Bool] = []
  /// The same of the values' gradients.
  package var gradients: [UnsafeMutablePointer<Float>?] = []
  package var gradientIsKept: [Bool] = []
  /// Where operations put input gradients that must be added to others, one area per input.
  package var gradientScratch: [UnsafeMutablePointer<Float>] = []
  /// The rank's parameters, in the layout of the kernels.
  package var parameters: UnsafePointer<Float>
  /// Parameter gradients of the shard being computed, addressed like `parameters`.
  package var parameterGradients: UnsafeMutablePointer<Float>
  /// Room for the parameter gradients of a slice that must be added to those of the shard.
  package var parameterScratch: UnsafeMutablePointer<Float>

  package init(
    index: Int, grid: WorkerGrid, communicator: any Communicator, barrier: Barrier, seed: UInt64,
    partition: BatchPartition, parameters: UnsafePointer<Float>, parameterScratch: UnsafeMutablePointer<Float>
  ) {
    self.index = index
    self.grid = grid
    self.communicator = communicator
    self.barrier = barrier
    self.seed = seed
    self.partition = partition
    self.parameters = parameters
    self.parameterScratch = parameterScratch
    parameterGradients = parameterScratch
  }

  /// This worker's number among those of all ranks.
  package var number: Int { communicator.rank * grid.threads + index }

  /// The run of shards it owns.
  package var shards: Range<Int> { partition.shards(ofWorker: number) }

  /// The samples of the global batch it computes.
  package var samples: Range<Int> { partition.samples(ofShards: shards) }

  /// The groups of samples it has pieces of.
  package func groups(_ statistics: Statistics) -> Range<Int> {
    partition.groups(statistics).groupsOfWorker[number]
  }
}
