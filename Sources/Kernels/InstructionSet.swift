import CKernels
import COneDNN
import CPlatform

/// The vector instructions that kernels are compiled for at run time. Promise 1 holds for one binary on one of these.
public enum InstructionSet: Sendable {
  /// The name, as oneDNN's documentation spells it.
  public static let name: String =
    switch dnnl_get_effective_cpu_isa() {
    case dnnl_cpu_isa_sse41: "SSE4.1"
    case dnnl_cpu_isa_avx: "AVX"
    case dnnl_cpu_isa_avx2: "AVX2"
    case dnnl_cpu_isa_avx512_core: "AVX-512"
    case dnnl_cpu_isa_avx512_core_vnni: "AVX-512 with VNNI"
    case dnnl_cpu_isa_avx512_core_bf16: "AVX-512 with BF16"
    case dnnl_cpu_isa_avx512_core_amx: "AVX-512 with AMX"
    default: "unnamed (oneDNN's number \(dnnl_get_effective_cpu_isa().rawValue))"
    }

  /// Whether registers hold 16 Floats.
  package static let hasAVX512: Bool = has(dnnl_cpu_isa_avx512_core)

  /// Whether there are instructions that multiply tiles of bf16 numbers.
  package static let hasAMX: Bool = has(dnnl_cpu_isa_avx512_core_amx) && amx_request() != 0

  /// Later sets of instructions contain earlier ones, bit by bit.
  private static func has(_ instructions: dnnl_cpu_isa_t) -> Bool {
    dnnl_get_effective_cpu_isa().rawValue & instructions.rawValue == instructions.rawValue
  }

  /// Channels per block of an activation: oneDNN's `nChw16c` where registers hold 16 Floats, else `nChw8c`.
  package static let channelBlock = hasAVX512 ? 16 : 8

  /// oneDNN's version.
  public static let libraryVersion: String = {
    let version = dnnl_version().pointee
    return "oneDNN \(version.major).\(version.minor).\(version.patch)"
  }()

  /// The processor's model name.
  public static let processor: String = {
    var name = [CChar](repeating: 0, count: 128)
    platform_cpu_name(&name, Int32(name.count))
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
  }()
}
