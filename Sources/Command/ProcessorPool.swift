import Collectives
import Foundation
import Training

/// The CPUs of a job, shared by the ranks of each host.
///
/// A launcher binds each rank to its part of the CPUs. Where layouts of fewer ranks are tried, those that compute may use
/// the CPUs of those that rest.
struct ProcessorPool {
  /// The host of each rank.
  private let hosts: [String]
  /// The CPUs of all ranks of a host.
  private let processors: [String: Int]

  /// Lets this rank use the CPUs of all ranks on its host. Every rank calls it, before it starts threads.
  init(_ job: Job) throws {
    let mine = Machine.affinity.map { String($0) }.joined(separator: " ")
    let all = try job.communicator.allGather("\(ProcessInfo.processInfo.hostName)\n\(mine)").map {
      $0.split(separator: "\n")
    }
    hosts = all.map { String($0[0]) }
    var masks: [String: [UInt8]] = [:]
    for (host, line) in zip(hosts, all.map { $0[1] }) {
      let mask = line.split(separator: " ").map { UInt8($0) ?? 0 }
      masks[host] = masks[host].map { zip($0, mask).map { $0 | $1 } } ?? mask
    }
    processors = masks.mapValues { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
    if let mask = masks[hosts[job.communicator.rank]] { Machine.use(mask) }
  }

  /// The CPUs that a layout's workers can use, no more than one each.
  func usable(_ layout: JobLayout) -> Int {
    Set(hosts.prefix(layout.ranks)).reduce(0) { sum, host in
      sum + min(processors[host] ?? 1, layout.threads * hosts.prefix(layout.ranks).count { $0 == host })
    }
  }

  /// One worker, then more threads and more ranks, up to all CPUs.
  var layouts: [JobLayout] {
    let most = processors[hosts[0]] ?? 1
    func counts(upTo last: Int) -> [Int] {
      Array(sequence(first: 1) { 2 * $0 < last ? 2 * $0 : nil }) + (last > 1 ? [last] : [])
    }
    return counts(upTo: hosts.count).flatMap { ranks in
      let threads = ranks == 1 ? counts(upTo: most) : [1, max(2, most / hosts.prefix(ranks).count { $0 == hosts[0] })]
      return threads.map { JobLayout(ranks: ranks, threads: $0) }
    }
  }
}
