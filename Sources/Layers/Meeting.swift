import Collectives
import Tensors

/// An operation that needs a sum over more samples than its worker has.
package protocol MeetingParticipant: Operation {
  var statistics: Statistics { get }
  /// Whether it meets at the end of the forward pass of its segment, rather than of the backward pass.
  var meetsForward: Bool { get }
  /// The Doubles it sums.
  var sumCount: Int { get }
  /// Takes its columns of the sums it shares with the meeting's others.
  func join(_ sums: SumColumns, _ target: CompileTarget)
  /// Goes on from the totals, on every worker.
  func receive(_ worker: Worker)
}

/// One participant's columns of the sums of a meeting.
package struct SumColumns: Sendable {
  let sums: GroupSums
  let first: Int

  /// The columns of a piece, to add to.
  func row(_ piece: Piece) -> UnsafeMutablePointer<Double> { sums.row(piece) + first }

  /// The columns of a group's total.
  func total(_ worker: Worker, group: Int) -> UnsafePointer<Double> { sums.total(group: group, worker) + first }

  /// The groups whose totals a worker gets.
  func groups(_ worker: Worker) -> Range<Int> { sums.groups(worker) }
}

/// The end of a segment: all operations there that need a sum over workers get it by one all-reduce.
package struct Meeting: Sendable {
  private let participants: SharedArray<any MeetingParticipant>
  private let sums: GroupSums

  /// The meetings of the participants, one for each kind of statistics among them; with frozen ones nobody needs to meet.
  package static func meetings(of participants: [any MeetingParticipant], _ target: CompileTarget) -> [Meeting] {
    var kinds: [Statistics] = []
    for participant in participants
    where participant.statistics != .frozen && !kinds.contains(participant.statistics) {
      kinds.append(participant.statistics)
    }
    return kinds.map { kind in Meeting(kind, participants.filter { $0.statistics == kind }, target) }
  }

  private init(_ statistics: Statistics, _ participants: [any MeetingParticipant], _ target: CompileTarget) {
    self.participants = SharedArray(participants)
    let width = participants.reduce(0) { $0 + $1.sumCount }
    sums = GroupSums(statistics, width: width, target)
    var column = 0
    for participant in participants {
      participant.join(SumColumns(sums: sums, first: column), target)
      column += participant.sumCount
    }
  }

  /// Whether it sums up something for a participant.
  package func includes(_ participant: any MeetingParticipant) -> Bool { participants.contains { $0 === participant } }

  /// Prepares the rows of a worker to be added to.
  package func open(_ worker: Worker) { sums.clear(worker) }

  /// Prepares the rows of a slice that another worker than its owner computes.
  package func open(_ stolen: Slice) { sums.clear(stolen) }

  /// Adds the rows of a slice that another worker has computed to those of its owner.
  package func add(_ stolen: Slice, to slice: Slice) { sums.add(stolen, to: slice) }

  /// Sums up what the workers have announced, and lets the participants go on.
  package func meet(_ worker: Worker) throws {
    try sums.allReduce(worker)
    participants.forEach { $0.receive(worker) }
  }
}
