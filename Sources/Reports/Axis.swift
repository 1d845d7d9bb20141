import Foundation

/// One axis of a chart.
public struct Axis: Sendable {
  /// How values become places.
  public enum Scale: Sendable, Equatable {
    case linear
    case log2
    case log10
  }

  /// What is measured, and its unit: "step time (ms)".
  public var title: String
  public var scale: Scale
  /// Whether a linear axis reaches down, or up, to 0.
  public var includesZero: Bool

  public init(_ title: String, _ scale: Scale = .linear, includesZero: Bool = false) {
    self.title = title
    self.scale = scale
    self.includesZero = includesZero
  }
}

/// An axis laid out for the values it shows: its range, and the ticks in it.
package struct AxisTicks {
  package let range: ClosedRange<Double>
  package let values: [Double]
  package let labels: [String]
  private let scale: Axis.Scale

  /// The most ticks of an axis.
  private static let most = 9

  /// - Parameter data: the values to show; those that are not finite, or not positive on a logarithmic scale, are not.
  package init(_ axis: Axis, _ data: [Double]) {
    scale = axis.scale
    let shown = data.filter { Self.isShown($0, axis.scale) }
    let (low, high) = (shown.min() ?? 1, shown.max() ?? 1)
    switch axis.scale {
    case .linear:
      let step: Double
      (range, step) = Self.linearRange(axis.includesZero ? min(low, 0) : low, axis.includesZero ? max(high, 0) : high)
      values = Self.multiples(of: step, in: range)
      labels = values.map { Self.label($0, step: step) }
    case .log2, .log10:
      let (logLow, logHigh) = (Foundation.log2(low), Foundation.log2(high))
      let margin = max(0.03 * (logHigh - logLow), 0.1)
      range = exp2(logLow - margin)...exp2(logHigh + margin)
      (values, labels) = Self.logarithmicTicks(axis.scale == .log2 ? 2 : 10, range)
    }
  }

  /// Where in the range a value is: 0 at the lower end, 1 at the upper one; nil if the axis cannot show it.
  package func place(_ value: Double) -> Double? {
    guard Self.isShown(value, scale) else { return nil }
    if scale == .linear { return (value - range.lowerBound) / (range.upperBound - range.lowerBound) }
    return log(value / range.lowerBound) / log(range.upperBound / range.lowerBound)
  }

  private static func isShown(_ value: Double, _ scale: Axis.Scale) -> Bool {
    value.isFinite && (scale == .linear || value > 0)
  }

  /// A range that begins and ends at multiples of a round step.
  ///
  /// Source: Heckbert, Nice numbers for graph labels, Graphics Gems 1990, doi:10.1016/B978-0-08-050753-8.50024-7.
  private static func linearRange(_ low: Double, _ high: Double) -> (ClosedRange<Double>, step: Double) {
    let half = low < high ? 0 : max(0.05 * abs(low), 0.5)
    let (low, high) = (low - half, high + half)
    let step = roundStep((high - low) / 5)
    return ((low / step + 1e-9).rounded(.down) * step...(high / step - 1e-9).rounded(.up) * step, step)
  }

  /// 1, 2 or 5 times a power of ten, not far from `step`.
  private static func roundStep(_ step: Double) -> Double {
    let power = pow(10, Foundation.log10(step).rounded(.down))
    let share = step / power
    return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10)
  }

  private static func multiples(of step: Double, in range: ClosedRange<Double>) -> [Double] {
    let (first, last) = (
      Int((range.lowerBound / step - 1e-6).rounded(.up)), Int((range.upperBound / step + 1e-6).rounded(.down))
    )
    return first <= last ? (first...last).map { Double($0) * step } : []
  }

  /// Powers of the base; between powers of ten also 2 and 5 times them, or round numbers, where powers are too few.
  private static func logarithmicTicks(_ base: Double, _ range: ClosedRange<Double>) -> ([Double], [String]) {
    let (low, high) = (log(range.lowerBound) / log(base), log(range.upperBound) / log(base))
    let exponents = Array(Int(low.rounded(.up))...max(Int(low.rounded(.up)), Int(high.rounded(.down))))
    let stride = (exponents.count + most - 1) / most
    var ticks = exponents.filter { $0 % stride == 0 }.map { (1.0, $0) }
    if base == 10, exponents.count < 3 {
      ticks = (exponents[0] - 1...exponents.last!).flatMap { power in [1, 2, 5].map { (Double($0), power) } }
    }
    ticks.removeAll { !range.contains($0.0 * pow(base, Double($0.1))) }
    guard ticks.count >= 3 else {
      let step = roundStep((range.upperBound - range.lowerBound) / 5)
      let values = multiples(of: step, in: range).filter { $0 > 0 }
      return (values, values.map { label($0, step: step) })
    }
    let values = ticks.map { $0.0 * pow(base, Double($0.1)) }
    guard base == 10, ticks.contains(where: { $0.1 < -3 || $0.1 > 5 }) else {
      return (values, values.map { label($0, step: $0) })
    }
    return (values, ticks.map { (($0.0 == 1 ? "" : "\(Int($0.0))·")) + "10" + superscript($0.1) })
  }

  private static func superscript(_ number: Int) -> String {
    let digits: [Character: Character] = [
      "-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
    ]
    return String("\(number)".map { digits[$0]! })
  }

  /// As many decimals as multiples of the step need.
  private static func label(_ value: Double, step: Double) -> String {
    let decimals = max(0, Int((-Foundation.log10(step) - 1e-9).rounded(.up)))
    let isWhole = decimals == 0 && abs(value) < 1e15
    let text = isWhole ? Formats.grouped(Int(value.rounded())) : Formats.fixed(value, decimals)
    return text.replacingOccurrences(of: "-", with: "−")
  }
}
