import Collectives
import Datasets
import Experiments
import Support
import Tensors
import Testing
import Training

@Suite struct AccuracyBenchTests {
  private var bench: AccuracyBench {
    var bench = AccuracyBench()
    bench.model = "mlp:16"
    bench.samplesPerWorker = [4, 2]
    bench.seeds = 2
    bench.options.globalBatchSize = 8
    bench.options.length = .epochs(2)
    return bench
  }

  private var data: Dataset {
    let shape = SampleShape.features(6)
    func split(_ count: Int, _ number: Int) -> LabeledSamples {
      LabeledSamples(
        floats: LayerRun.random(count * 6, number: number), labels: (0..<count).map { Int32($0 % 3) }, shape: shape)
    }
    return Dataset(name: "noise", classCount: 3, train: split(40, 1), test: split(10, 2), augmentation: .none)
  }

  /// Everything of one seed before the next, nothing twice.
  @Test func plan() {
    let plan = bench.plan
    #expect(plan.map(\.seed) == [0, 0, 0, 0, 1, 1, 1, 1])
    #expect(Set(plan.map(\.kind)) == [.sync, .group, .local(samplesPerWorker: 2), .local(samplesPerWorker: 4)])
  }

  /// Sync is the same on every layout, local is ghost, and they differ where workers see a part.
  @Test func layouts() throws {
    let layouts = try bench.layouts.map { try bench.layout(workers: $0, data) }
    #expect(layouts.map(\.workers) == [1, 2, 4] && layouts.map(\.samplesPerWorker) == [8, 4, 2])
    #expect(Set(layouts.map(\.sync)).count == 1)
    #expect(layouts.allSatisfy { $0.local == $0.ghost })
    #expect(layouts[0].local == layouts[0].sync)
    #expect(Set(layouts.map(\.local)).count == 3)
  }

  @Test func runs() throws {
    let run = try bench.run(.local(samplesPerWorker: 2), seed: 1, data, ThreadCommunicator.alone) { _ in }
    #expect(run.testAccuracy.count == 2 && run.trainingLoss.count == 2)
    #expect(run.finalAccuracy == run.testAccuracy[1])
    let other = try bench.run(.sync, seed: 1, data, ThreadCommunicator.alone) { _ in }
    #expect(other.trainingLoss != run.trainingLoss)
  }

  @Test func prefixes() {
    let part = data.prefix(train: 7, test: 99)
    #expect(part.train.count == 7 && part.test?.count == 10)
  }
}
