import Datasets
import Tensors
import Testing

/// The published files, where the machine has them.
@Suite struct RealDataTests {
  // The usual statistics, as in PyTorch's examples: mnist 0.1307 and 0.3081; fashion-mnist 0.2860 and 0.3530.
  @Test(
    .enabled(if: RealData.has("mnist") && RealData.has("fashion-mnist"), "no mnist and fashion-mnist in LOCKSTEP_DATA"),
    arguments: [("mnist", Float(0.1307), Float(0.3081)), ("fashion-mnist", 0.2860, 0.3530)])
  func mnist(name: String, mean: Float, deviation: Float) throws {
    let dataset = try Dataset.load(name, RealData.folder + "/" + name)
    #expect(dataset.train.count == 60_000)
    #expect(dataset.test?.count == 10_000)
    #expect(Array(dataset.train.labels.prefix(5)) == (name == "mnist" ? [5, 0, 4, 1, 9] : [9, 0, 0, 3, 0]))
    guard case .bytes(_, let normalization) = dataset.train.pixels else { return }
    #expect(abs(normalization.mean[0] - mean) < 5e-5)
    #expect(abs(normalization.deviation[0] - deviation) < 5e-5)
  }

  // The usual statistics of the training split: 0.4914 0.4822 0.4465 and 0.2470 0.2435 0.2616.
  @Test(.enabled(if: RealData.has("cifar-10-batches-bin"), "no cifar-10-batches-bin in LOCKSTEP_DATA"))
  func cifar10() throws {
    let dataset = try Dataset.load("cifar10", RealData.folder)
    #expect(dataset.train.count == 50_000)
    #expect(dataset.test?.count == 10_000)
    for label in 0..<10 { #expect(dataset.train.labels.filter { $0 == label }.count == 5_000) }
    guard case .bytes(_, let normalization) = dataset.train.pixels else { return }
    for (value, expected) in zip(normalization.mean, [0.4914, 0.4822, 0.4465] as [Float]) {
      #expect(abs(value - expected) < 5e-5)
    }
    for (value, expected) in zip(normalization.deviation, [0.2470, 0.2435, 0.2616] as [Float]) {
      #expect(abs(value - expected) < 5e-5)
    }
  }
}
