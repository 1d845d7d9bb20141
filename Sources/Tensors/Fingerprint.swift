import Foundation

/// A short text that tells bytes from other bytes: their number, and a hash of them.
///
/// FNV-1a over words of eight bytes; what is left over goes byte by byte. Not against forgery.
/// Source: Fowler, Noll, Vo, the FNV hash, http://www.isthe.com/chongo/tech/comp/fnv.
package enum Fingerprint {
  package static func of(_ parts: [Data]) -> String {
    let prime: UInt64 = 0x100_0000_01b3
    let hash = parts.reduce(0xcbf2_9ce4_8422_2325) { hash, data in
      data.withUnsafeBytes { bytes in
        let words = bytes.count & ~7
        let start = stride(from: 0, to: words, by: 8).reduce(hash) {
          ($0 ^ bytes.loadUnaligned(fromByteOffset: $1, as: UInt64.self)) &* prime
        }
        return bytes.dropFirst(words).reduce(start) { ($0 ^ UInt64($1)) &* prime }
      }
    }
    return "\(parts.reduce(0) { $0 + $1.count }) bytes \(String(hash, radix: 16))"
  }
}
