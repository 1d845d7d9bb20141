import Layers
import Tensors

/// When each activation and each gradient is written and read, in segments.
///
/// Time runs forward through the segments 0 ..< n and back through them as n ..< 2n.
struct Liveness: Sendable {
  let segments: [[any Operation]]
  private let network: Network
  private var producer: [Int: (segment: Int, operation: any Operation)] = [:]
  private(set) var consumers: [Int: [(segment: Int, operation: any Operation)]] = [:]
  private(set) var values: [Value] = []
  /// The values computed again in the backward pass although they are kept for other segments' forward passes.
  private(set) var refreshed: Set<Int> = []
  /// By the number of a value whose gradient takes over the memory of another's: that other one's.
  private var inherited: [Int: Int] = [:]

  init(_ network: Network, _ segments: [[any Operation]]) {
    self.network = network
    self.segments = segments
    values = [network.input]
    for (number, operations) in segments.enumerated() {
      for operation in operations {
        producer[operation.output.number] = (number, operation)
        values.append(operation.output)
        for input in operation.inputs { consumers[input.number, default: []].append((number, operation)) }
      }
    }
    for operation in segments.joined() where canBeRefreshed(operation.output) {
      refreshed.insert(operation.output.number)
    }
    for segment in segments.indices { inheritGradients(in: segment) }
  }

  /// When the backward pass visits a segment.
  func backwardTime(_ segment: Int) -> Int { 2 * segments.count - 1 - segment }

  /// The segment that is visited at a time.
  func segment(at time: Int) -> Int { min(time, backwardTime(time)) }

  var input: Value { network.input }

  /// The value whose memory holds this one.
  func root(_ value: Int) -> Int { network.aliases[value].map(root) ?? value }

  /// Whether another operation takes a value; none takes the loss.
  func isRead(_ value: Value) -> Bool { consumers[value.number] != nil }

  func family(_ root: Int) -> [Value] { values.filter { self.root($0.number) == root } }

  // MARK: - Activations

  func segment(of value: Value) -> Int { producer[value.number]?.segment ?? 0 }

  /// The segments whose backward pass reads a value.
  private func backwardReaders(_ value: Value) -> [Int] {
    var readers = (consumers[value.number] ?? []).filter { readsBackward($0.operation, value) }.map(\.segment)
    if let producer = producer[value.number], producer.operation.backwardReadsOutput {
      readers.append(producer.segment)
    }
    return readers
  }

  /// Compared by number: a flattened image is the same value in another shape.
  private func readsBackward(_ operation: any Operation, _ value: Value) -> Bool {
    operation.inputs.enumerated().contains { $1.number == value.number && operation.backwardReads(input: $0) }
  }

  /// Whether the value of every sample is kept, rather than that of the current slice.
  func isKept(_ value: Value) -> Bool {
    let family = family(root(value.number))
    guard let original = family.first(where: { $0.number == root(value.number) }),
      let producer = producer[original.number]
    else { return true }  // the input
    let crosses = family.contains { member in
      (consumers[member.number] ?? []).contains { $0.segment != producer.segment }
    }
    return crosses || (!producer.operation.isCheap && family.contains { !backwardReaders($0).isEmpty })
      || (!producer.operation.isCheap && isNeededForRecomputation(original, in: producer.segment))
  }

  /// Whether a cheap operation of the segment, to be done again, reads the value.
  private func isNeededForRecomputation(_ value: Value, in segment: Int) -> Bool {
    (consumers[value.number] ?? []).contains { consumer in
      consumer.segment == segment && consumer.operation.isCheap
        && (!backwardReaders(consumer.operation.output).isEmpty
          || isNeededForRecomputation(consumer.operation.output, in: segment))
    }
  }

  /// The segment's operations to be done again in the backward pass, in order.
  func recomputed(in segment: Int) -> [any Operation] {
    segments[segment].filter { operation in
      operation.isCheap && (!isKept(operation.output) || refreshed.contains(operation.output.number))
        && (!backwardReaders(operation.output).isEmpty || isNeededForRecomputation(operation.output, in: segment))
    }
  }

  /// Whether a value that other segments read on the way forward is cheap to compute again on the way back, where it is
  /// read by its own segment alone: a residual block's output, from the batch norm before it and the block's input. Its
  /// memory is free in between, which is when memory is short.
  ///
  /// Not if it would take another value that is itself gone by then: of a chain of blocks, every other one's is kept.
  private func canBeRefreshed(_ value: Value) -> Bool {
    guard let producer = producer[value.number], producer.operation.isCheap, network.aliases[value.number] == nil,
      family(value.number).count == 1, isKept(value)
    else { return false }
    let readers = backwardReaders(value)
    return !readers.isEmpty && readers.allSatisfy { $0 == producer.segment }
      && producer.operation.inputs.allSatisfy { outlives($0, until: producer.segment) }
      && !(consumers[value.number] ?? []).contains { consumer in
        consumer.segment != producer.segment && consumer.operation.isCheap && !isKept(consumer.operation.output)
      }
  }

  /// Whether a segment's backward pass finds a value, or computes it again from others that it finds.
  private func outlives(_ value: Value, until segment: Int) -> Bool {
    if isKept(value) { return !refreshed.contains(root(value.number)) }
    guard let producer = producer[root(value.number)] else { return false }
    return producer.segment == segment && producer.operation.isCheap
      && producer.operation.inputs.allSatisfy { outlives($0, until: segment) }
  }

  /// When a value's memory is its own.
  func lifetimes(_ value: Value) -> [ClosedRange<Int>] {
    let times = times(value)
    if !isKept(value) { return Set(times).sorted().map { $0...$0 } }
    guard refreshed.contains(value.number) else { return [times.min()!...times.max()!] }
    let (forward, backward) = (times.filter { $0 < segments.count }, times.filter { $0 >= segments.count })
    return [forward, backward].filter { !$0.isEmpty }.map { $0.min()!...$0.max()! }
  }

  /// When a value is written and read.
  func times(_ value: Value) -> [Int] {
    let family = family(value.number)
    let birth = segment(of: value)
    if !isKept(value) { return [birth, backwardTime(birth)] }
    let forward = family.flatMap { (consumers[$0.number] ?? []).map(\.segment) }
    var backward = family.flatMap(backwardReaders)
    // What a recomputed operation reads is read once more on the way back.
    for member in family {
      for consumer in consumers[member.number] ?? []
      where recomputed(in: consumer.segment).contains(where: { $0 === consumer.operation }) {
        backward.append(consumer.segment)
      }
    }
    return [birth] + forward + backward.map(backwardTime)
  }

  /// The kept values from elsewhere that a segment reads, each by its root: on the way forward, and on the way back.
  func keptInputs(of segment: Int) -> (forward: [Value], backward: [Value]) {
    func kept(_ read: [Value]) -> [Value] {
      let roots = Set(read.map { root($0.number) })
      return values.filter { roots.contains($0.number) && isKept($0) }
    }
    let backward =
      recomputed(in: segment).flatMap(\.inputs)
      + differentiated(in: segment).flatMap { operation in
        operation.inputs.indices.filter { operation.backwardReads(input: $0) }.map { operation.inputs[$0] }
          + (operation.backwardReadsOutput ? [operation.output] : [])
      }
    return (
      kept(segments[segment].flatMap(\.inputs)).filter { producer[$0.number]?.segment != segment },
      kept(backward).filter { !refreshed.contains($0.number) }
    )
  }

  // MARK: - Gradients

  /// Whether the loss's gradient by the value is wanted.
  func needsGradient(_ value: Value) -> Bool { needsGradient(value.number) }

  private func needsGradient(_ value: Int) -> Bool {
    guard let producer = producer[value]?.operation else { return false }
    return producer !== network.loss
      && (producer.parameters.contains(where: \.isLearned) || producer.inputs.contains(where: needsGradient))
  }

  /// The value whose gradient's memory holds this one's: an alias shares with its original, if that has a gradient and nothing
  /// else reads it, and a gradient may take over the memory of another that a segment has read for the last time.
  func gradientRoot(_ value: Value) -> Int {
    var root = value.number
    if let original = network.aliases[root], consumers[original]?.count == 1, needsGradient(original) {
      root = original
    }
    while let earlier = inherited[root] { root = earlier }
    return root
  }

  /// Lets the gradients that a segment's backward pass leaves take over the memory of those it finds, where each slice has
  /// read the one before it writes the other: what is written is then in the cache, and less memory passes through it.
  private mutating func inheritGradients(in segment: Int) {
    let operations = differentiated(in: segment)
    /// The numbers of the operations that make a value, and of those that read it; as the backward pass visits the last one
    /// first, the first reader's number of a gradient is the largest.
    func producers(_ root: Int) -> [Int] {
      operations.indices.filter { gradientRoot(operations[$0].output) == root }
    }
    func readers(_ root: Int) -> [Int] {
      operations.indices.filter { operations[$0].inputs.contains { gradientRoot($0) == root } }
    }
    let (found, left) = keptGradients(of: segment)
    var taken = Set<Int>()
    for value in left where !found.contains(value) {
      let root = gradientRoot(value)
      guard let firstWriter = readers(root).max() else { continue }
      let giver = found.first { other in
        guard other.layout.sampleStride == value.layout.sampleStride, !taken.contains(gradientRoot(other)),
          let lastReader = producers(gradientRoot(other)).min()
        else { return false }
        return firstWriter < lastReader || (firstWriter == lastReader && operations[lastReader].backwardWorksInPlace)
      }
      guard let giver else { continue }
      inherited[root] = gradientRoot(giver)
      taken.insert(gradientRoot(giver))
    }
  }

  private func gradientFamily(_ root: Int) -> [Value] { values.filter { gradientRoot($0) == root } }

  /// Whether the gradient of every sample is kept: it is written in another segment than it is read in.
  func isGradientKept(_ value: Value) -> Bool {
    gradientFamily(gradientRoot(value)).contains { member in
      (consumers[member.number] ?? []).contains { $0.segment != segment(of: member) }
    }
  }

  /// When a gradient is written and read.
  func gradientTimes(_ value: Value) -> [Int] {
    gradientFamily(value.number).flatMap { member in
      [segment(of: member)] + (consumers[member.number] ?? []).map(\.segment)
    }.map(backwardTime)
  }

  /// The segment's operations with a backward pass: all but what lies before the first learned parameter.
  func differentiated(in segment: Int) -> [any Operation] {
    segments[segment].filter { $0 === network.loss || needsGradient($0.output) }
  }

  /// Whether operations of the segment that makes a value write its gradient.
  func gradientIsWrittenAtHome(_ value: Value) -> Bool {
    (consumers[value.number] ?? []).contains { $0.segment == segment(of: value) }
  }

  /// The kept gradients that a segment finds begun or complete, and those that it leaves to segments before it.
  func keptGradients(of segment: Int) -> (found: [Value], left: [Value]) {
    let operations = differentiated(in: segment)
    func hasLaterConsumer(_ value: Value) -> Bool {
      (consumers[value.number] ?? []).contains { $0.segment > segment }
    }
    let left = values.filter { value in
      needsGradient(value) && self.segment(of: value) < segment
        && operations.contains { $0.inputs.contains { $0.number == value.number } }
    }
    return (operations.map(\.output).filter(hasLaterConsumer) + left.filter(hasLaterConsumer), left)
  }

  /// Tells every operation which input gradients are wanted, and which it shares with operations that write before it.
  func wireGradients() {
    var written: Set<Int> = []
    for operation in segments.joined().reversed() {
      for (index, input) in operation.inputs.enumerated() {
        operation.wiring.needsInputGradient[index] = needsGradient(input)
        operation.wiring.addsToInputGradient[index] = !written.insert(input.number).inserted
      }
    }
  }
}
