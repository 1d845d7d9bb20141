import Foundation

/// Memory of fixed size, aligned to cache lines and initially zero.
///
/// The system provides it as it is first written to, on the memory of the CPU that writes; what is never written costs
/// nothing. Where that is possible, large buffers lie on huge pages: passes over them would otherwise wait for the
/// translation of addresses, page by page.
///
/// Sendable because the buffer itself never changes; who may touch which element, and when, is the business of its
/// users: workers write disjoint parts and meet at a barrier before they read each other's.
package final class AlignedBuffer<Element: BitwiseCopyable>: @unchecked Sendable {
  package let count: Int
  package let start: UnsafeMutablePointer<Element>
  private let memory: Memory

  private enum Memory {
    case heap(UnsafeMutableRawPointer)
    case pages(UnsafeMutableRawPointer, count: Int)
  }

  /// One cache line, and one AVX-512 register.
  package static var alignment: Int { 64 }
  /// How far, in bytes, processors read ahead at most: to the end of a page. What follows a buffer, another core may be
  /// writing, from which it would be called back again and again.
  package static var readAhead: Int { 4 << 10 }
  /// Bytes of a huge page on x86-64; it begins at a multiple of that.
  private static var hugePage: Int { 2 << 20 }

  package init(count: Int) {
    self.count = count
    let bytes = max(count, 1) * MemoryLayout<Element>.stride
    // Linux would promise more than there is, and end the process when it takes it.
    guard bytes <= machineMemory else { Self.fail(bytes) }
    let aligned: UnsafeMutableRawPointer
    if bytes < 2 * Self.hugePage {
      guard let heap = calloc(1, bytes + Self.alignment + Self.readAhead) else { Self.fail(bytes) }
      memory = .heap(heap)
      aligned = heap.alignedUp(toMultipleOf: Self.alignment)
    } else {
      let length = bytes + Self.hugePage
      guard let pages = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        pages != MAP_FAILED
      else { Self.fail(bytes) }
      memory = .pages(pages, count: length)
      aligned = pages.alignedUp(toMultipleOf: Self.hugePage)
      // A wish; where it is not granted, the memory is slower.
      _ = madvise(aligned, bytes, MADV_HUGEPAGE)
    }
    start = aligned.bindMemory(to: Element.self, capacity: max(count, 1))
  }

  /// Ends the process, and with it the job, where no caller could go on.
  private static func fail(_ bytes: Int) -> Never {
    let error = "lockstep: there are no \(bytes >> 20) MiB of memory to be had; a smaller batch or network takes less\n"
    FileHandle.standardError.write(Data(error.utf8))
    exit(1)
  }

  deinit {
    switch memory {
    case .heap(let heap): free(heap)
    case .pages(let pages, let count): munmap(pages, count)
    }
  }

  package var elements: UnsafeMutableBufferPointer<Element> { .init(start: start, count: count) }
  package var bytes: UnsafeMutableRawBufferPointer { .init(elements) }
}

/// The machine's, in bytes.
private let machineMemory = Int(ProcessInfo.processInfo.physicalMemory)

/// The smallest multiple of a cache line's Floats that holds `count` of them.
package func paddedCount(_ count: Int) -> Int { (count + 15) & ~15 }
