/// Something outside the program is wrong: a file, an option, a peer.
///
/// The text names the thing and, where there is one, the next step. It is printed as it stands, without a stack trace.
/// A broken invariant is not an error of this kind: it stops the program at once.
public struct LockstepError: Error, CustomStringConvertible, Equatable {
  /// What is wrong and what to do about it, in a sentence or two.
  public let description: String

  /// Makes an error that says what is wrong and, if there is one, the next step.
  public init(_ description: String) {
    self.description = description
  }
}

/// Stops the process: an invariant of the engine is broken, and going on would compute nonsense or hang the peers.
///
/// Unlike `precondition`, the reason is printed in release builds too. The abort of one rank ends the whole MPI job.
package func invariantFailure(
  _ reason: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) -> Never {
  fatalError("broken invariant: \(reason())", file: file, line: line)
}

/// Checks an invariant in every build.
package func invariant(
  _ holds: Bool, _ reason: @autoclosure () -> String, file: StaticString = #fileID, line: UInt = #line
) {
  if !holds { invariantFailure(reason(), file: file, line: line) }
}
