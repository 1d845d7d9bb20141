import CPlatform
import Foundation
import Tensors

/// Memory that all ranks of a machine read and write: a region from each of them, initially zero.
///
/// Sendable: what may be touched when is the business of its users, who meet at `machineBarrier`.
public final class SharedMemory: @unchecked Sendable {
  /// In the order of the machine's ranks; each begins at a cache line.
  package let regions: [UnsafeMutableRawPointer]
  private let owners: [AnyObject]

  /// The regions of ranks that are threads.
  init(_ buffers: [AlignedBuffer<UInt8>]) {
    regions = buffers.map { UnsafeMutableRawPointer($0.start) }
    owners = buffers
  }

  /// The regions of ranks that are processes.
  init(_ pages: [SharedPages]) {
    regions = pages.map(\.start)
    owners = pages
  }
}

/// Pages of memory that other processes map too.
///
/// They are those of a file without a name (`memfd_create`), so that they are gone with the last process that maps them,
/// however it ends, and need no room in a file system: containers often have 64 MiB in `/dev/shm`.
final class SharedPages {
  let start: UnsafeMutableRawPointer
  /// How other processes find them.
  let address: Address
  /// Open for others in the process whose pages they are.
  private let file: Int32?

  struct Address: BitwiseCopyable {
    var process: Int64 = 0
    var file: Int32 = -1
    var length: Int = 0
    /// By which they know that these are the pages.
    var inode: UInt64 = 0
  }

  /// Nil if the system does not give them.
  init?(count: Int) {
    let file = platform_create_memory_file("lockstep")
    guard file >= 0 else { return nil }
    let length = max(count, 1)
    guard ftruncate(file, length) == 0, let start = Self.map(file, length) else {
      close(file)
      return nil
    }
    address = Address(process: Int64(getpid()), file: file, length: length, inode: Self.inode(file))
    (self.start, self.file) = (start, file)
  }

  /// Another process's; nil if the system keeps the two apart.
  init?(at address: Address) {
    let file = open("/proc/\(address.process)/fd/\(address.file)", O_RDWR | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    // Where processes are numbered apart, this is a stranger's.
    guard Self.inode(file) == address.inode, let start = Self.map(file, address.length) else { return nil }
    (self.start, self.address, self.file) = (start, address, nil)
  }

  deinit {
    munmap(start, address.length)
    if let file { close(file) }
  }

  private static func map(_ file: Int32, _ length: Int) -> UnsafeMutableRawPointer? {
    let start = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
    guard start != MAP_FAILED, let start else { return nil }
    // A wish, as in `AlignedBuffer`.
    _ = madvise(start, length, MADV_HUGEPAGE)
    return start
  }

  private static func inode(_ file: Int32) -> UInt64 {
    var status = stat()
    return fstat(file, &status) == 0 ? UInt64(status.st_ino) : 0
  }
}
