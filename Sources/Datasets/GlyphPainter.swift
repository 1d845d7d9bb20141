import Tensors

/// Paints one digit as if by hand, on a dirty page.
///
/// A way to write the digit is chosen; its points are shaken, scaled, sheared, turned and moved; a pen of random width,
/// softness and ink follows them; stray lines and specks are added, a strip is sometimes wiped out, and noise covers
/// all.
struct GlyphPainter {
  static let side = 28

  private var random: KeyedRandom

  init(random: KeyedRandom) { self.random = random }

  /// Writes the image's side * side bytes, rows from the top; ink is bright.
  mutating func paint(digit: Int, to image: UnsafeMutableBufferPointer<UInt8>) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: image.count) { ink in
      ink.initialize(repeating: 0)
      paintDigit(digit, on: ink)
      paintStrays(on: ink)
      wipeStrip(of: ink)
      let paper = random.uniform(5...45)
      let noise = random.uniform(4...20)
      for i in image.indices {
        let value = paper + (255 - paper) * ink[i] + noise * random.roughlyNormal()
        image[i] = UInt8(min(max(value, 0), 255))
      }
    }
  }

  private mutating func paintDigit(_ digit: Int, on ink: UnsafeMutableBufferPointer<Float>) {
    let ways = GlyphStrokes.digits[digit]
    let strokes = ways[random.integer(below: ways.count)]
    let size = Point(random.uniform(13...22), random.uniform(16...24))
    let shear = random.uniform(-0.3...0.3)
    // With t the tangent of half the angle, these are its cosine and sine without a library's rounding.
    let t = random.uniform(-0.15...0.15)
    let cosine = (1 - t * t) / (1 + t * t)
    let sine = 2 * t / (1 + t * t)
    let center = Point(random.uniform(10.5...16.5), random.uniform(11...16))
    let pen = Pen(
      radius: random.uniform(0.55...1.5), softness: random.uniform(0.4...1.1), strength: random.uniform(0.5...1))
    for stroke in strokes {
      let corners = stroke.corners { point in
        var p = point - 0.5 + Point(random.uniform(-0.05...0.05), random.uniform(-0.05...0.05))
        p *= size
        p.x -= shear * p.y
        return center + Point(cosine * p.x - sine * p.y, sine * p.x + cosine * p.y)
      }
      pen.draw(corners, on: ink)
    }
  }

  /// Up to two stray lines and five specks, anywhere, fainter and finer than most digits.
  private mutating func paintStrays(on ink: UnsafeMutableBufferPointer<Float>) {
    for isSpeck in [false, true] {
      for _ in 0..<random.integer(below: isSpeck ? 6 : 3) {
        let start = Point(random.uniform(0...27), random.uniform(0...27))
        let reach: Float = isSpeck ? 0.6 : 7
        let end = start + Point(random.uniform(-reach...reach), random.uniform(-reach...reach))
        let pen = Pen(
          radius: random.uniform(0.3...0.8), softness: random.uniform(0.4...0.9), strength: random.uniform(0.2...0.7))
        pen.draw([start, end], on: ink)
      }
    }
  }

  /// Wipes two neighbouring rows or columns of every sixth digit.
  private mutating func wipeStrip(of ink: UnsafeMutableBufferPointer<Float>) {
    guard random.integer(below: 6) == 0 else { return }
    let isRow = random.integer(below: 2) == 0
    let first = 7 + random.integer(below: 13)
    for line in first...first + 1 {
      for i in 0..<Self.side { ink[isRow ? line * Self.side + i : i * Self.side + line] = 0 }
    }
  }
}

/// A round pen. Ink at distance d from its path is `strength` up to radius - softness/2 and fades over `softness`
/// pixels.
private struct Pen {
  let radius: Float
  let softness: Float
  let strength: Float

  /// Draws straight pieces between `corners`. Where ink lies already, the stronger stays.
  func draw(_ corners: [Point], on ink: UnsafeMutableBufferPointer<Float>) {
    let side = GlyphPainter.side
    let reach = radius + softness * 0.5
    for i in 1..<corners.count {
      let start = corners[i - 1]
      let step = corners[i] - start
      let length2 = max((step * step).sum(), 1e-6)
      let low = pointwiseMin(start, corners[i]) - reach
      let high = pointwiseMax(start, corners[i]) + reach
      for y in pixels(from: low.y, through: high.y) {
        for x in pixels(from: low.x, through: high.x) {
          let toPixel = Point(Float(x), Float(y)) - start
          let along = min(max((toPixel * step).sum() / length2, 0), 1)
          let across = toPixel - step * along
          let distance = (across * across).sum().squareRoot()
          let amount = strength * min(max((reach - distance) / softness, 0), 1)
          ink[y * side + x] = max(ink[y * side + x], amount)
        }
      }
    }
  }

  /// The rows or columns between two places, one of which may be outside the image.
  private func pixels(from low: Float, through high: Float) -> Range<Int> {
    let first = max(0, Int(low.rounded(.up)))
    return first..<max(first, min(GlyphPainter.side, Int(high.rounded(.down)) + 1))
  }
}
