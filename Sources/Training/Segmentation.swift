import Layers

/// Which operations run together, slice by slice, before the workers have to meet.
enum Segmentation {
  /// Sorts the operations into segments.
  ///
  /// A batch norm's transformation comes at least one segment after its moments. Operations that are cheaper to do again
  /// than to keep come as late as they can, next to what reads them.
  static func segments(of network: Network) -> [[any Operation]] {
    let operations = network.operations
    var segmentOfValue: [Int: Int] = [:]
    var needsMeeting: Set<Int> = []
    var segment = [Int](repeating: 0, count: operations.count)
    for (index, operation) in operations.enumerated() {
      segment[index] =
        operation.inputs.map { input in
          segmentOfValue[input.number, default: 0] + (needsMeeting.contains(input.number) ? 1 : 0)
        }.max() ?? 0
      segmentOfValue[operation.output.number] = segment[index]
      if let participant = operation as? any MeetingParticipant, participant.meetsForward {
        needsMeeting.insert(operation.output.number)
      }
    }
    var firstUse: [Int: Int] = [:]
    for index in operations.indices.reversed() {
      let operation = operations[index]
      if operation.isCheap, let use = firstUse[operation.output.number] { segment[index] = max(segment[index], use) }
      for input in operation.inputs {
        firstUse[input.number] = min(firstUse[input.number] ?? .max, segment[index])
      }
    }
    let count = (segment.max() ?? 0) + 1
    return (0..<count).map { number in operations.indices.filter { segment[$0] == number }.map { operations[$0] } }
  }
}
