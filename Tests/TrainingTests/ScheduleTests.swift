import Foundation
import Testing
import Training

@Suite struct ScheduleTests {
  private func factors(_ schedule: Schedule, _ steps: [Int], stepsPerEpoch: Int, totalSteps: Int) -> [Float] {
    steps.map { schedule.factor(step: $0, stepsPerEpoch: stepsPerEpoch, totalSteps: totalSteps) }
  }

  @Test func constant() {
    #expect(factors(Schedule(), [0, 5, 99], stepsPerEpoch: 10, totalSteps: 100) == [1, 1, 1])
  }

  /// The factor falls with the first step of the epoch, not with the last of the one before.
  @Test func step() {
    let schedule = Schedule(.step(epochs: [2, 4], factor: 0.5))
    #expect(
      factors(schedule, [0, 19, 20, 39, 40, 99], stepsPerEpoch: 10, totalSteps: 100) == [1, 1, 0.5, 0.5, 0.25, 0.25])
  }

  @Test func cosine() {
    let schedule = Schedule(.cosine)
    let expected = [0, 25, 50, 75, 99].map { Float(0.5 * (1 + cos(Double.pi * Double($0) / 100))) }
    #expect(factors(schedule, [0, 25, 50, 75, 99], stepsPerEpoch: 10, totalSteps: 100) == expected)
    #expect(expected[0] == 1 && abs(expected[2] - 0.5) < 1e-7)
  }

  /// From 1 / steps up to 1 in the last step of the warm-up; the shape follows.
  @Test func warmup() {
    let constant = Schedule(warmupEpochs: 0.5)
    #expect(factors(constant, [0, 1, 4, 5, 9], stepsPerEpoch: 10, totalSteps: 100) == [0.2, 0.4, 1, 1, 1])
    let cosine = Schedule(.cosine, warmupEpochs: 2)
    #expect(factors(cosine, [0, 19, 20, 60], stepsPerEpoch: 10, totalSteps: 100) == [0.05, 1, 1, 0.5])
    let step = Schedule(.step(epochs: [3], factor: 0.1), warmupEpochs: 1)
    #expect(factors(step, [9, 10, 29, 30], stepsPerEpoch: 10, totalSteps: 100) == [1, 1, 1, 0.1])
  }

  /// A warm-up that ends within a step.
  @Test func fractionalWarmup() {
    let schedule = Schedule(warmupEpochs: 0.25)
    let expected: [Float] = [Float(1.0 / 3), Float(2.0 / 3), 1, 1]
    #expect(factors(schedule, [0, 1, 2, 3], stepsPerEpoch: 10, totalSteps: 100) == expected)
  }

  @Test func texts() {
    #expect(Schedule("constant") == Schedule())
    #expect(Schedule("cosine") == Schedule(.cosine))
    #expect(Schedule("step:30,60") == Schedule(.step(epochs: [30, 60], factor: 0.1)))
    #expect(Schedule("step:30:0.2") == Schedule(.step(epochs: [30], factor: 0.2)))
    for text in ["", "linear", "step", "step:", "step:0", "step:3,x", "step:3:0", "step:3:0.1:2", "cosine:3"] {
      #expect(Schedule(text) == nil, "\(text)")
    }
  }
}
