import CPlatform
import Foundation

/// The machine this process runs on.
public enum Machine {
  /// The CPUs that this process may use: launchers bind ranks to some of them.
  public static let availableProcessors = Int(platform_available_cpus())

  /// The largest resident set of this process so far, in bytes.
  public static var peakMemory: Int { Int(platform_peak_memory()) }

  /// The machine's CPUs.
  public static let processorCount = ProcessInfo.processInfo.processorCount
}
