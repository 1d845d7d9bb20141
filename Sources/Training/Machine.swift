import CPlatform
import Foundation

/// The machine this process runs on.
public enum Machine {
  /// The CPUs that this process may use: launchers bind ranks to some of them.
  public static var availableProcessors: Int { Int(platform_available_cpus()) }

  /// The CPUs that this process may use, as bits of bytes; for `use` on a process of the same machine.
  public static var affinity: [UInt8] {
    var mask = [UInt8](repeating: 0, count: 128)
    platform_get_affinity(&mask, Int32(mask.count))
    return mask
  }

  /// Lets this thread, and those that it starts from now on, use these CPUs.
  public static func use(_ affinity: [UInt8]) { platform_set_affinity(affinity, Int32(affinity.count)) }

  /// The largest resident set of this process so far, in bytes.
  public static var peakMemory: Int { Int(platform_peak_memory()) }

  /// The machine's CPUs.
  public static let processorCount = ProcessInfo.processInfo.processorCount
}
