import Datasets
import Tensors
import Testing

@Suite struct RandomSamplesTests {
  private func random(_ shape: SampleShape?, classCount: Int?, seed: UInt64 = 1) throws -> Dataset {
    try Dataset.load("random", path: nil, shape: shape, classCount: classCount, seed: seed)
  }

  @Test func valuesAreKeyedNoiseOfMeanZeroAndVarianceOne() throws {
    let shape = SampleShape(channels: 3, height: 7, width: 5)
    let dataset = try random(shape, classCount: 7)
    let values = (0..<dataset.train.count).flatMap { dataset.train.floats($0) }.map(Double.init)
    #expect(dataset.train.count == 2_048)
    #expect(values.count == 2_048 * shape.count)
    #expect(abs(values.reduce(0, +) / Double(values.count)) < 0.01)
    #expect(abs(values.map { $0 * $0 }.reduce(0, +) / Double(values.count) - 1) < 0.01)
    #expect(Set(dataset.train.labels) == Set(0..<7))
    #expect(try random(shape, classCount: 7).train.floats(2_047) == dataset.train.floats(2_047))
    #expect(try random(shape, classCount: 7, seed: 2).train.floats(0) != dataset.train.floats(0))
    #expect(Set((0..<2_048).map { dataset.train.floats($0) }).count == 2_048)
  }

  @Test func largeSamplesRepeatWithTheirLabels() throws {
    let train = try random(SampleShape(channels: 3, height: 224, width: 224), classCount: 1_000).train
    let stored = (1 << 23) / (3 * 224 * 224)
    #expect(train.count == 2_048)
    // A comparison of long arrays by #expect itself would take hours to explain a difference.
    let repeats = train.floats(5) == train.floats(5 + stored)
    let differs = train.floats(5) != train.floats(6)
    #expect(repeats && differs)
    #expect((0..<2_048 - stored).allSatisfy { train.labels[$0] == train.labels[$0 + stored] })
  }

  @Test func fewerSamplesAreTheFirstOfThem() throws {
    let shape = SampleShape(channels: 3, height: 7, width: 5)
    let all = try random(shape, classCount: 7)
    let few = try Dataset.random(shape: shape, classCount: 7, count: 3, seed: 1)
    #expect(few.train.count == 3)
    #expect((0..<3).allSatisfy { few.train.floats($0) == all.train.floats($0) })
  }

  @Test func missingOptionsAreNamed() {
    expectError("random needs the shape") { try random(nil, classCount: 10) }
    expectError("random needs the shape") { try random(.features(3), classCount: nil) }
    expectError("above 0") { try random(.features(0), classCount: 10) }
    expectError("1...1000000") { try random(.features(3), classCount: 0) }
  }
}
