import Datasets
import Tensors
import Training

extension Batch {
  /// A batch of these samples, all of this rank's.
  ///
  /// - Parameters:
  ///   - x: [N, C, H, W].
  ///   - labels: [N].
  package init(_ x: [Float], _ labels: [Int32], _ shape: SampleShape, globalCount: Int) {
    let samples = LabeledSamples(floats: x, labels: labels, shape: shape)
    self.init(BatchSamples(samples, (0..<labels.count).map(Int32.init)[...]), globalCount: globalCount)
  }
}
