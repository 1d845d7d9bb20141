/// A point in a glyph's box (0 to 1, y downwards) or in the image (pixels).
typealias Point = SIMD2<Float>

/// One movement of the pen: through its points, straight or along a smooth curve.
struct Stroke {
  let isSmooth: Bool
  let points: [Point]

  static func line(_ points: Point...) -> Stroke { Stroke(isSmooth: false, points: points) }
  static func curve(_ points: Point...) -> Stroke { Stroke(isSmooth: true, points: points) }

  /// The stroke's points mapped by `transform`, and points between them: the corners of a chain of straight pieces.
  ///
  /// A smooth stroke is Catmull and Rom's spline: from p1 to p2 it is the cubic that leaves and arrives with the slopes
  /// (p2 - p0)/2 and (p3 - p1)/2, end points being repeated.
  func corners(_ transform: (Point) -> Point) -> [Point] {
    let points = points.map(transform)
    guard isSmooth else { return points }
    let pieces = 5
    var corners = [points[0]]
    for i in 0..<points.count - 1 {
      let p1 = points[i]
      let p2 = points[i + 1]
      let leaving = (p2 - points[max(i - 1, 0)]) * 0.5
      let arriving = (points[min(i + 2, points.count - 1)] - p1) * 0.5
      let quadratic = (p2 - p1) * 3 - leaving * 2 - arriving
      let cubic = leaving + arriving - (p2 - p1) * 2
      for piece in 1...pieces {
        let t = Float(piece) / Float(pieces)
        corners.append(p1 + (leaving + (quadratic + cubic * t) * t) * t)
      }
    }
    return corners
  }
}

/// The ways in which people write the ten digits.
enum GlyphStrokes {
  /// Per digit: the ways to write it, each a list of strokes.
  static let digits: [[[Stroke]]] = [
    [
      [
        .curve(
          [0.54, 0.08], [0.32, 0.18], [0.22, 0.5], [0.31, 0.82], [0.5, 0.92], [0.69, 0.8], [0.77, 0.5], [0.7, 0.2],
          [0.5, 0.08])
      ],
      [
        .curve(
          [0.6, 0.1], [0.4, 0.1], [0.26, 0.3], [0.22, 0.62], [0.36, 0.88], [0.6, 0.86], [0.76, 0.62], [0.74, 0.3],
          [0.58, 0.12], [0.46, 0.16])
      ],
    ],
    [
      [.line([0.52, 0.08], [0.5, 0.92])],
      [.line([0.33, 0.29], [0.54, 0.09], [0.52, 0.92])],
      [.line([0.34, 0.27], [0.53, 0.09], [0.52, 0.91]), .line([0.32, 0.91], [0.72, 0.91])],
    ],
    [
      [
        .curve([0.25, 0.3], [0.34, 0.13], [0.57, 0.09], [0.74, 0.27], [0.63, 0.5], [0.42, 0.72], [0.22, 0.9]),
        .line([0.22, 0.9], [0.79, 0.88]),
      ],
      [
        .curve(
          [0.26, 0.26], [0.42, 0.09], [0.68, 0.14], [0.72, 0.36], [0.54, 0.64], [0.3, 0.9], [0.2, 0.82], [0.34, 0.76],
          [0.58, 0.88], [0.8, 0.84])
      ],
    ],
    [
      [
        .curve([0.26, 0.17], [0.48, 0.08], [0.72, 0.2], [0.64, 0.41], [0.42, 0.47]),
        .curve([0.42, 0.47], [0.68, 0.54], [0.76, 0.73], [0.58, 0.9], [0.35, 0.91], [0.22, 0.8]),
      ],
      [
        .line([0.27, 0.1], [0.73, 0.1], [0.47, 0.42]),
        .curve([0.47, 0.42], [0.72, 0.52], [0.75, 0.76], [0.54, 0.92], [0.24, 0.84]),
      ],
    ],
    [
      [.line([0.6, 0.08], [0.21, 0.63], [0.82, 0.63]), .line([0.62, 0.36], [0.6, 0.93])],
      [.line([0.32, 0.1], [0.25, 0.52], [0.79, 0.52]), .line([0.71, 0.1], [0.66, 0.93])],
      [.line([0.66, 0.93], [0.66, 0.08], [0.2, 0.66], [0.84, 0.66])],
    ],
    [
      [
        .line([0.75, 0.1], [0.34, 0.11], [0.3, 0.45]),
        .curve([0.3, 0.45], [0.54, 0.38], [0.75, 0.53], [0.74, 0.77], [0.53, 0.92], [0.3, 0.88], [0.22, 0.79]),
      ],
      [
        .curve([0.34, 0.12], [0.29, 0.43], [0.52, 0.42], [0.72, 0.57], [0.68, 0.82], [0.46, 0.92], [0.22, 0.83]),
        .line([0.33, 0.13], [0.76, 0.1]),
      ],
    ],
    [
      [
        .curve(
          [0.66, 0.09], [0.44, 0.23], [0.29, 0.5], [0.28, 0.77], [0.46, 0.92], [0.67, 0.86], [0.74, 0.68],
          [0.6, 0.52], [0.4, 0.57], [0.28, 0.74])
      ],
      [
        .curve(
          [0.46, 0.08], [0.3, 0.36], [0.26, 0.68], [0.42, 0.91], [0.66, 0.87], [0.72, 0.66], [0.54, 0.54],
          [0.32, 0.68])
      ],
    ],
    [
      [.line([0.21, 0.12], [0.79, 0.12], [0.43, 0.92])],
      [.line([0.21, 0.13], [0.79, 0.11], [0.45, 0.92]), .line([0.36, 0.51], [0.73, 0.49])],
      [.line([0.24, 0.26], [0.23, 0.12], [0.78, 0.12]), .curve([0.78, 0.12], [0.56, 0.46], [0.48, 0.92])],
    ],
    [
      [
        .curve(
          [0.7, 0.2], [0.51, 0.08], [0.31, 0.2], [0.4, 0.41], [0.62, 0.56], [0.75, 0.76], [0.51, 0.92], [0.26, 0.76],
          [0.39, 0.55], [0.62, 0.4], [0.71, 0.21], [0.6, 0.1])
      ],
      [
        .curve([0.5, 0.09], [0.33, 0.18], [0.36, 0.39], [0.51, 0.46], [0.66, 0.37], [0.67, 0.17], [0.48, 0.09]),
        .curve([0.51, 0.46], [0.28, 0.6], [0.28, 0.83], [0.5, 0.92], [0.74, 0.82], [0.73, 0.59], [0.5, 0.46]),
      ],
    ],
    [
      [
        .curve([0.71, 0.28], [0.58, 0.1], [0.37, 0.12], [0.27, 0.32], [0.39, 0.5], [0.6, 0.45], [0.71, 0.26]),
        .line([0.71, 0.26], [0.68, 0.92]),
      ],
      [
        .curve(
          [0.72, 0.24], [0.54, 0.08], [0.31, 0.19], [0.29, 0.42], [0.5, 0.5], [0.69, 0.37], [0.73, 0.2], [0.72, 0.5],
          [0.63, 0.8], [0.45, 0.92], [0.27, 0.84])
      ],
    ],
  ]
}
