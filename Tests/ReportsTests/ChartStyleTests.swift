import Reports
import Testing

/// Not every program that shows SVG files knows variables; without colours they would be black.
@Suite struct ChartStyleTests {
  @Test func aPlainColourStandsBeforeEveryVariable() {
    let uses = ChartStyle.css.split(separator: ":var(").count - 1
    let plain = ChartStyle.css.matches(of: /(fill|stroke):#[0-9a-f]{6};(fill|stroke):var\(/).count { $0.1 == $0.2 }
    #expect(uses > 20 && plain == uses)
  }
}
