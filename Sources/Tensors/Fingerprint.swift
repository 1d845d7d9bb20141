import Foundation

/// A short text that tells bytes from other bytes: their number, and a hash of them.
///
/// FNV-1a over words of eight bytes; what is left over goes byte by byte. Not against forgery.
/// Source: Fowler, Noll, Vo, the FNV hash, http://www.isthe.com/chongo/tech/comp/fnv.
package enum Fingerprint {
  package static func of(_ parts: [Data]) -> String {
    let prime: UInt64 = 0x100_0000_01b3
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for data in parts {
      data.withUnsafeBytes { bytes in
        let words = bytes.count & ~7
        for offset in stride(from: 0, to: words, by: 8) {
          hash = (hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* prime
        }
        for byte in bytes.dropFirst(words) { hash = (hash ^ UInt64(byte)) &* prime }
      }
    }
    return "\(parts.reduce(0) { $0 + $1.count }) bytes \(String(hash, radix: 16))"
  }
}
