import Kernels
import Support
import Tensors
import Testing

/// Batch norm's passes over 16-bit numbers: those over the same numbers as Floats, with the results rounded, bit for bit.
@Suite struct StoredTests {
  /// An array in the forms that a pass may find it in, or leave it in.
  private final class Numbers {
    let floats: AlignedBuffer<Float>
    let halves: AlignedBuffer<UInt16>

    /// bf16 numbers, or what is none if not `rounded`.
    init(_ layout: ActivationLayout, samples: Int, number: Int, rounded: Bool = true) {
      let count = samples * layout.sampleStride
      (floats, halves) = (AlignedBuffer(count: count), AlignedBuffer(count: count))
      floats.start.update(from: LayerRun.random(count, number: number), count: count)
      if rounded { BFloat16.round(floats.start, keeping: halves.start, count: count) }
    }

    enum Form: CaseIterable {
      case absent
      case floats
      case halves
    }

    func stored(_ form: Form) -> Stored? {
      switch form {
      case .absent: nil
      case .floats: Stored(floats.start)
      case .halves: Stored(nil, halves: halves.start)
      }
    }

    /// What was written in a form, as Floats.
    func found(_ form: Form) -> [Float] {
      withExtendedLifetime(self) {
        if form == .halves { BFloat16.expand(halves.start, to: floats.start, count: floats.count) }
        return Array(floats.elements)
      }
    }

    /// What was written as Floats, rounded to bf16.
    var rounded: [Float] {
      withExtendedLifetime(self) {
        BFloat16.round(floats.start, to: floats.start, count: floats.count)
        return Array(floats.elements)
      }
    }
  }

  private struct Case {
    let layout: ActivationLayout
    let samples = 3

    init(block: Int, positions: Int) {
      let channels = positions == 1 ? 1050 : 20
      layout = ActivationLayout(shape: SampleShape(channels: channels, height: positions, width: 1), block: block)
    }

    func numbers(_ number: Int, rounded: Bool = true) -> Numbers {
      Numbers(layout, samples: samples, number: number, rounded: rounded)
    }
  }

  /// More than one run of a Float accumulator, less than one vector of them, and wide vectors.
  private static let cases = Blocks.all.flatMap { block in [3, 1030, 1].map { (block, $0) } }

  @Test(arguments: cases) func moments(block: Int, positions: Int) {
    let task = Case(block: block, positions: positions)
    let (x, same) = (task.numbers(0, rounded: false), task.numbers(0))
    func sums(of x: Stored) -> [Double] {
      let sums = AlignedBuffer<Double>(count: 2 * task.layout.paddedChannels)
      ChannelSums.addMoments(of: x, task.layout, samples: task.samples, to: sums.start)
      return Array(sums.elements)
    }
    let expected = sums(of: same.stored(.floats)!)
    #expect(sums(of: Stored(x.floats.start, halves: x.halves.start)) == expected)
    #expect(sums(of: same.stored(.halves)!) == expected)
    let isKept = withExtendedLifetime((x, same)) { x.halves.elements.elementsEqual(same.halves.elements) }
    #expect(isKept)
  }

  @Test(arguments: cases, [Activation.relu, .sigmoid])
  func gradientSums(size: (block: Int, positions: Int), activation: Activation) {
    let task = Case(block: size.block, positions: size.positions)
    let (y, x, mean) = (task.numbers(1), task.numbers(2), task.numbers(3))
    for yForm in Numbers.Form.allCases {
      for copyForm in Numbers.Form.allCases {
        func run(_ dy: Stored, _ forms: (x: Numbers.Form, y: Numbers.Form, copy: Numbers.Form)) -> [[Float]] {
          let (dz, copy) = (task.numbers(4), task.numbers(5))
          let sums = AlignedBuffer<Double>(count: 2 * task.layout.paddedChannels)
          ChannelSums.addGradientSums(
            of: dy, through: y.stored(forms.y).map { (activation, $0) }, x: x.stored(forms.x)!, mean: mean.floats.start,
            dz: dz.stored(forms.x)!, copy: copy.stored(forms.copy), task.layout, samples: task.samples, to: sums.start)
          return withExtendedLifetime(sums) {
            [dz.found(forms.x), copy.found(forms.copy), sums.elements.map { Float($0) }]
          }
        }
        let plainCopy: Numbers.Form = copyForm == .absent ? .absent : .floats
        let (exact, rounded) = (task.numbers(0, rounded: false), task.numbers(0))
        // What has passed the function is rounded again.
        let passed = task.numbers(0)
        if yForm != .absent {
          activation.backward(
            passed.floats.start, y: y.floats.start, dx: passed.floats.start, count: passed.floats.count)
          BFloat16.round(passed.floats.start, to: passed.floats.start, count: passed.floats.count)
        }
        let expected = run(passed.stored(.floats)!, (.floats, .absent, plainCopy))
        for dy in [exact.stored(.floats)!, rounded.stored(.halves)!] {
          let isSame = run(dy, (.halves, yForm, copyForm)) == expected
          #expect(isSame, "y \(yForm), copy \(copyForm)")
        }
      }
    }
  }

  @Test(arguments: cases, [nil, Activation.relu, .tanh])
  func normalization(size: (block: Int, positions: Int), activation: Activation?) {
    let task = Case(block: size.block, positions: size.positions)
    let (x, residual) = (task.numbers(0), task.numbers(1))
    let coefficients = (2...4).map { task.numbers($0, rounded: false) }
    for form in Numbers.Form.allCases {
      for keeps in [false, true] {
        func run(_ xForm: Numbers.Form, _ residualForm: Numbers.Form, keeps: Bool) -> Numbers {
          let y = task.numbers(5)
          Normalize.forward(
            x.stored(xForm)!, mean: coefficients[0].floats.start, scale: coefficients[1].floats.start,
            bias: coefficients[2].floats.start, residual: residual.stored(residualForm), activation: activation,
            y: Stored(y.floats.start, halves: keeps ? y.halves.start : nil), task.layout, samples: task.samples)
          return y
        }
        let expected = run(.floats, form == .absent ? .absent : .floats, keeps: false).rounded
        let y = run(.halves, form, keeps: keeps)
        let isSame = y.found(.floats) == expected, isKept = !keeps || y.found(.halves) == expected
        #expect(isSame && isKept, "residual \(form)")
      }
    }
  }

  @Test(arguments: cases) func normalizationBackward(block: Int, positions: Int) {
    let task = Case(block: block, positions: positions)
    let (dz, x) = (task.numbers(0), task.numbers(1))
    let coefficients = (2...5).map { task.numbers($0, rounded: false) }
    func run(_ form: Numbers.Form, result: Numbers.Form) -> Numbers {
      let dx = task.numbers(6)
      Normalize.backward(
        dz.stored(form)!, x: x.stored(form)!, mean: coefficients[0].floats.start, scale: coefficients[1].floats.start,
        meanGradient: coefficients[2].floats.start, slope: coefficients[3].floats.start, dx: dx.stored(result)!,
        task.layout, samples: task.samples)
      return dx
    }
    let expected = run(.floats, result: .floats).rounded
    for result in [Numbers.Form.floats, .halves] {
      let isSame = run(.halves, result: result).found(result) == expected
      #expect(isSame, "\(result)")
    }
  }

  /// Wherever the element is, and next to the largest numbers.
  @Test(arguments: [1, 15, 16, 17, 40]) func nonFinite(count: Int) {
    let halves = AlignedBuffer<UInt16>(count: count)
    let stored = Stored(nil, halves: halves.start)
    let finite: [UInt16] = [0x7F7F, 0xFF7F, 0x0001]
    for number in 0..<count { halves.start[number] = finite[number % finite.count] }
    #expect(!stored.hasNonFinite(count: count))
    for number in 0..<count {
      for value: UInt16 in [0x7F80, 0xFF80, 0x7FC0, 0xFF81] {
        halves.start[number] = value
        #expect(stored.hasNonFinite(count: count), "\(value) at \(number)")
      }
      halves.start[number] = finite[number % finite.count]
    }
  }
}
