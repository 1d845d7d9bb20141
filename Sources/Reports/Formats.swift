import Foundation
import Tensors

/// Numbers as people read them.
package enum Formats {
  /// 1234567 -> "1,234,567".
  package static func grouped(_ number: Int) -> String {
    var digits = Array("\(abs(number))")
    var index = digits.count - 3
    while index > 0 {
      digits.insert(",", at: index)
      index -= 3
    }
    return (number < 0 ? "-" : "") + String(digits)
  }

  /// "1 rank", "2 ranks".
  package static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  /// A table of plain values as JSON, with the same bytes for the same values.
  ///
  /// - Throws: `LockstepError` if one of them is not finite, for which JSON has no word.
  package static func json(_ table: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return try String(decoding: encoder.encode(table), as: UTF8.self)
    } catch {
      throw LockstepError(
        "there is a number among the results that is not finite; if training has diverged, lower --learning-rate")
    }
  }

  /// Names without their repetitions, in order.
  package static func unique(_ names: [String]) -> [String] {
    names.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// A number with that many decimals.
  package static func fixed(_ number: Double, _ decimals: Int) -> String { String(format: "%.\(decimals)f", number) }

  /// The same with a minus, not a hyphen, and no sign at zero: "−0.17".
  package static func signed(_ number: Double, _ decimals: Int) -> String {
    let text = fixed(number, decimals)
    return text.contains { ("1"..."9").contains($0) } ? text.replacing("-", with: "−") : fixed(0, decimals)
  }

  /// 0.98765 -> "98.77%".
  package static func percent(_ share: Double) -> String { fixed(100 * share, 2) + "%" }

  /// Three significant digits or more: "1,234" or "12.3".
  package static func rate(_ number: Double) -> String {
    guard number.isFinite, number >= 100 else { return fixed(number, number < 10 ? 2 : 1) }
    return grouped(Int(number.rounded()))
  }

  /// "5 s", "2:05" or "1:02:05".
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e7 else { return "?" }
    let total = Int(seconds.rounded(.up))
    if total < 60 { return "\(total) s" }
    let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60)
    return hours > 0
      ? String(format: "%d:%02d:%02d", hours, minutes, rest) : String(format: "%d:%02d", minutes, rest)
  }

  /// "512 B", "1.5 KiB", "300 MiB".
  package static func bytes(_ count: Int) -> String {
    var (number, unit) = (Double(count), 0)
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024, unit < units.count - 1 {
      number /= 1024
      unit += 1
    }
    return unit == 0 || number >= 100 ? "\(Int(number.rounded())) \(units[unit])" : "\(fixed(number, 1)) \(units[unit])"
  }
}
