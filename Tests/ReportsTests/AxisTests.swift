import Foundation
import Reports
import Testing

struct AxisTests {
  private func ticks(_ scale: Axis.Scale, _ data: [Double], zero: Bool = false) -> AxisTicks {
    AxisTicks(Axis("", scale, includesZero: zero), data)
  }

  @Test func linearTicksAreRound() {
    #expect(ticks(.linear, [0, 97]).labels == ["0", "20", "40", "60", "80", "100"])
    #expect(ticks(.linear, [0.12, 0.2]).labels == ["0.12", "0.14", "0.16", "0.18", "0.20"])
    #expect(ticks(.linear, [-3, 9]).labels == ["−4", "−2", "0", "2", "4", "6", "8", "10"])
    #expect(ticks(.linear, [0, 50_000]).labels == ["0", "10,000", "20,000", "30,000", "40,000", "50,000"])
    #expect(ticks(.linear, [40, 97], zero: true).labels.first == "0")
    #expect(ticks(.linear, [-97, -40], zero: true).labels.last == "0")
  }

  @Test func logarithmicTicks() {
    #expect(ticks(.log2, [2, 128]).labels == ["2", "4", "8", "16", "32", "64", "128"])
    #expect(ticks(.log2, [0.5, 4]).labels == ["0.5", "1", "2", "4"])
    #expect(ticks(.log10, [1, 1000]).labels == ["1", "10", "100", "1,000"])
    #expect(ticks(.log10, [0.1, 1]).labels == ["0.1", "0.2", "0.5", "1"])
    #expect(ticks(.log10, [1e-7, 1e-1]).labels == ["10⁻⁷", "10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"])
    #expect(ticks(.log10, [0.509, 0.51]).labels.count >= 3)
    #expect(ticks(.log2, [1, 1_048_576]).labels.count <= 9)
  }

  /// Whatever is shown lies in the range, and so do the ticks.
  @Test(arguments: [Axis.Scale.linear, .log2, .log10]) func allDataAreInRange(scale: Axis.Scale) {
    let cases: [[Double]] = [[5], [1e-9, 1e9], [0.3, 0.30001], [7, 7.5, 120], [1e6]]
    for data in cases {
      let ticks = ticks(scale, data)
      for value in data { #expect((0...1).contains(ticks.place(value) ?? -1), "\(data)") }
      for value in ticks.values { #expect((-1e-9...1 + 1e-9).contains(ticks.place(value) ?? -1), "\(data)") }
      #expect(ticks.values.count >= 2 && ticks.values.count <= 11, "\(data): \(ticks.labels)")
      #expect(Set(ticks.labels).count == ticks.labels.count, "\(data): \(ticks.labels)")
    }
  }

  @Test func whatCannotBeShownHasNoPlace() {
    let ticks = ticks(.log10, [1, 10, -1, .nan, .infinity])
    #expect(ticks.place(-1) == nil && ticks.place(.nan) == nil && ticks.place(0) == nil)
    #expect(ticks.range.upperBound < 20)
  }
}
