/// A report to read: findings, charts with captions, tables, and where it all comes from.
///
///     var page = Page("Sync against local batch norm", lead: "resnet20 on 3x32x32, 128 samples per step.")
///     page.findings.append("Sync costs \(cost)% on 2x1.")           // computed from the data
///     page.figures.append(Figure("cost", chart, caption: "Medians of 5 rounds; whiskers from the fastest to the slowest."))
///     page.tables.append(table)
///     try folder.write(page, results)                               // index.html, cost.svg, results.json
///
/// One file without a script, which asks nothing of the network; light and dark as the reader's system is.
public struct Page: Sendable {
  public var title: String
  /// What was run, in a sentence or two.
  public var lead: String
  /// What the data say, a sentence each.
  public var findings: [String] = []
  public var figures: [Figure] = []
  public var tables: [Table] = []

  public init(_ title: String, lead: String) {
    (self.title, self.lead) = (title, lead)
  }

  func html(_ facts: RunFacts) -> String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>\(SVG.escaped(title))</title>
    <style>\(Self.css)\(ChartStyle.css)</style>
    </head>
    <body>
    <main>
    <h1>\(SVG.escaped(title))</h1>
    <p class="lead">\(SVG.escaped(lead))</p>
    \(findings.isEmpty ? "" : "<ul class=\"findings\">\n\(findings.map { "<li>\(SVG.escaped($0))</li>\n" }.joined())</ul>")
    \(figures.map(\.html).joined())
    \(tables.map(\.html).joined())
    <footer>
    <dl>
    \(facts.rows.map { "<dt>\($0.name)</dt><dd>\(SVG.escaped($0.value))</dd>\n" }.joined())
    <dt>Data</dt><dd><a href="results.json">results.json</a>\
    \(figures.map { ", <a href=\"\($0.name).svg\">\($0.name).svg</a>" }.joined())</dd>
    </dl>
    </footer>
    </main>
    </body>
    </html>

    """
  }

  private static let css = """

    :root{--paper:#f6f7f9;--ink:#1c2127;--soft:#5b6570;--rule:#d9dde3;--card:#ffffff;--link:#0067a3}
    @media (prefers-color-scheme:dark){
      :root{--paper:#0d1013;--ink:#e8ebef;--soft:#9aa5b1;--rule:#2b323a;--card:#14181d;--link:#6cb8ee}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 \(ChartStyle.fonts)}
    main{max-width:960px;margin:0 auto;padding:40px 20px 56px}
    h1{font-size:28px;line-height:1.25;margin:0 0 10px;letter-spacing:-.01em}
    .lead{color:var(--soft);margin:0 0 24px}
    .findings{margin:0 0 32px;padding:0;list-style:none}
    .findings li{padding:7px 0 7px 16px;border-left:3px solid var(--link);margin:0 0 8px}
    figure{margin:0 0 32px;padding:16px;background:var(--card);border:1px solid var(--rule);border-radius:10px}
    figure svg{display:block;margin:0 auto}
    figcaption{color:var(--soft);font-size:14px;padding:8px 16px 0}
    .table{overflow-x:auto;margin:0 0 32px}
    table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
    caption{text-align:left;font-weight:600;padding:0 0 8px}
    th,td{padding:5px 8px;text-align:left;border-bottom:1px solid var(--rule);white-space:nowrap}
    th{color:var(--soft);font-weight:600} .number{text-align:right}
    footer{border-top:1px solid var(--rule);padding-top:18px;font-size:14px;color:var(--soft)}
    dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:0} dt{font-weight:600}
    dd{margin:0;overflow-wrap:anywhere} a{color:var(--link)}

    """
}

/// A chart on a page.
public struct Figure: Sendable {
  /// The stem of its file's name.
  public let name: String
  public let chart: any Chart
  /// What was run, and how to read it.
  public let caption: String

  public init(_ name: String, _ chart: any Chart, caption: String) {
    (self.name, self.chart, self.caption) = (name, chart, caption)
  }

  var html: String {
    "<figure id=\"\(name)\">\n\(chart.svg(id: name))<figcaption>\(SVG.escaped(caption))</figcaption>\n</figure>\n"
  }
}
