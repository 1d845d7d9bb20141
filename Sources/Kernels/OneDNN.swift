import COneDNN
import Synchronization
import Tensors

/// oneDNN's C API, version 2, as far as it is used here. The only file that creates and runs primitives.
package enum OneDNN {
  /// The one CPU engine.
  ///
  /// Safe to share: an engine is immutable.
  nonisolated(unsafe) static let engine: dnnl_engine_t = {
    var engine: dnnl_engine_t?
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "dnnl_engine_create")
    return engine!
  }()

  static func check(_ status: dnnl_status_t, _ function: String) {
    invariant(status == dnnl_success, "\(function) failed with oneDNN status \(status.rawValue)")
  }

  /// Row-major dimensions in the type the C API takes.
  static func dimensions(_ extents: [Int]) -> [dnnl_dim_t] { extents.map { dnnl_dim_t($0) } }

  /// A plain or blocked array.
  static func descriptor(
    _ extents: [Int], _ tag: dnnl_format_tag_t, _ type: dnnl_data_type_t = dnnl_f32
  ) -> dnnl_memory_desc_t {
    var result = dnnl_memory_desc_t()
    check(
      dnnl_memory_desc_init_by_tag(&result, Int32(extents.count), dimensions(extents), type, tag),
      "dnnl_memory_desc_init_by_tag")
    return result
  }

  /// `samples` samples in an activation's layout.
  static func descriptor(_ layout: ActivationLayout, samples: Int) -> dnnl_memory_desc_t {
    let shape = layout.shape
    let tag =
      switch layout.block {
      case 1: dnnl_nchw
      case 8: dnnl_nChw8c
      case 16: dnnl_nChw16c
      default: invariantFailure("no oneDNN format has blocks of \(layout.block) channels")
      }
    return descriptor([samples, shape.channels, shape.height, shape.width], tag)
  }

  /// A vector.
  static func descriptor(vector count: Int) -> dnnl_memory_desc_t { descriptor([count], dnnl_a) }
}

/// What is known of a primitive before it is made: the implementation chosen, the layouts it wants.
final class PrimitiveDescriptor {
  let handle: dnnl_primitive_desc_t

  /// - Returns: nil if oneDNN has no implementation for the operation.
  init?<Operation>(_ operation: Operation, hint: PrimitiveDescriptor? = nil) {
    let attributes = Self.attributes()
    defer { dnnl_primitive_attr_destroy(attributes) }
    var created: dnnl_primitive_desc_t?
    let status = withUnsafePointer(to: operation) {
      dnnl_primitive_desc_create(&created, $0, attributes, OneDNN.engine, hint?.handle)
    }
    if status == dnnl_unimplemented { return nil }
    OneDNN.check(status, "dnnl_primitive_desc_create")
    handle = created!
  }

  /// A copy of an array from one layout to another.
  init(reorder source: dnnl_memory_desc_t, to destination: dnnl_memory_desc_t) {
    let attributes = Self.attributes()
    defer { dnnl_primitive_attr_destroy(attributes) }
    var (source, destination) = (source, destination)
    var created: dnnl_primitive_desc_t?
    OneDNN.check(
      dnnl_reorder_primitive_desc_create(&created, &source, OneDNN.engine, &destination, OneDNN.engine, attributes),
      "dnnl_reorder_primitive_desc_create")
    handle = created!
  }

  deinit { dnnl_primitive_desc_destroy(handle) }

  /// A scratchpad inside the primitive would be shared by all threads that run it.
  private static func attributes() -> dnnl_primitive_attr_t? {
    var attributes: dnnl_primitive_attr_t?
    OneDNN.check(dnnl_primitive_attr_create(&attributes), "dnnl_primitive_attr_create")
    OneDNN.check(
      dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user),
      "dnnl_primitive_attr_set_scratchpad_mode")
    return attributes
  }

  /// The layout of an argument.
  func layout(_ query: dnnl_query_t) -> dnnl_memory_desc_t {
    guard let pointer = dnnl_primitive_desc_query_md(handle, query, 0) else {
      invariantFailure("oneDNN names no layout for query \(query.rawValue)")
    }
    return pointer.pointee
  }

  /// The implementation's name, such as "jit:avx2".
  var implementation: String {
    var name: UnsafePointer<CChar>?
    guard dnnl_primitive_desc_query(handle, dnnl_query_impl_info_str, 0, &name) == dnnl_success, let name else {
      return "unknown"
    }
    return String(cString: name)
  }
}

/// A kernel that oneDNN has generated for one shape.
///
/// Sendable: a primitive is immutable; with a scratchpad per worker, any number of workers may run it at once.
package final class Primitive: @unchecked Sendable {
  let handle: dnnl_primitive_t
  let arguments: [(kind: Int32, layout: dnnl_memory_desc_t)]
  let scratchpad: dnnl_memory_desc_t
  let scratchpadBytes: Int
  /// The implementation's name.
  package let implementation: String
  /// Counts the primitives of the process, so that workers can keep what belongs to one in an array.
  let number: Int

  private static let made = Atomic<Int>(0)

  /// - Parameter arguments: the arguments in the order in which `KernelContext.run` takes their addresses.
  init(_ descriptor: PrimitiveDescriptor, _ arguments: [(kind: Int32, layout: dnnl_memory_desc_t)]) {
    var created: dnnl_primitive_t?
    OneDNN.check(dnnl_primitive_create(&created, descriptor.handle), "dnnl_primitive_create")
    handle = created!
    self.arguments = arguments
    scratchpad = descriptor.layout(dnnl_query_scratchpad_md)
    scratchpadBytes = withUnsafePointer(to: scratchpad) { dnnl_memory_desc_get_size($0) }
    implementation = descriptor.implementation
    number = Self.made.add(1, ordering: .relaxed).newValue
  }

  deinit { dnnl_primitive_destroy(handle) }
}

/// One worker's means to run primitives: a stream, a scratchpad, and the memory objects it fills with addresses.
///
/// Belongs to one worker: never used from two threads at once.
package final class KernelContext: @unchecked Sendable {
  private let stream: dnnl_stream_t
  private var scratchpad = AlignedBuffer<UInt8>(count: 0)
  private var areas: [AlignedBuffer<Float>] = []
  private var bindings: [Binding?] = []
  /// What this worker reads next, when it is done with the slice at hand.
  package let ahead = ReadAhead()

  /// A primitive's arguments as this worker's memory objects.
  private final class Binding {
    let arguments: UnsafeMutableBufferPointer<dnnl_exec_arg_t>

    init(_ primitive: Primitive) {
      let layouts = primitive.arguments + [(DNNL_ARG_SCRATCHPAD, primitive.scratchpad)]
      arguments = .allocate(capacity: layouts.count)
      for (index, argument) in layouts.enumerated() {
        var memory: dnnl_memory_t?
        var layout = argument.layout
        OneDNN.check(dnnl_memory_create(&memory, &layout, OneDNN.engine, nil), "dnnl_memory_create")
        arguments.initializeElement(at: index, to: dnnl_exec_arg_t(arg: argument.kind, memory: memory))
      }
    }

    deinit {
      for argument in arguments { dnnl_memory_destroy(argument.memory) }
      arguments.deallocate()
    }
  }

  package init() {
    var stream: dnnl_stream_t?
    OneDNN.check(dnnl_stream_create(&stream, OneDNN.engine, dnnl_stream_default_flags.rawValue), "dnnl_stream_create")
    self.stream = stream!
  }

  deinit { dnnl_stream_destroy(stream) }

  /// Memory for intermediate results, by number; what was in it is lost.
  package func area(_ number: Int, _ count: Int) -> UnsafeMutablePointer<Float> {
    while areas.count <= number { areas.append(AlignedBuffer(count: 0)) }
    if areas[number].count < count { areas[number] = AlignedBuffer(count: count) }
    return areas[number].start
  }

  /// Runs a primitive on the addresses of its arguments, in the order in which it names them.
  package func run(
    _ primitive: Primitive, _ first: UnsafeRawPointer, _ second: UnsafeRawPointer,
    _ third: UnsafeRawPointer? = nil, _ fourth: UnsafeRawPointer? = nil
  ) {
    let arguments = binding(of: primitive).arguments
    set(arguments[0], first)
    set(arguments[1], second)
    if let third { set(arguments[2], third) }
    if let fourth { set(arguments[3], fourth) }
    if scratchpad.count < primitive.scratchpadBytes { scratchpad = AlignedBuffer(count: primitive.scratchpadBytes) }
    set(arguments[arguments.count - 1], scratchpad.start)
    OneDNN.check(
      dnnl_primitive_execute(primitive.handle, stream, Int32(arguments.count), arguments.baseAddress),
      "dnnl_primitive_execute")
  }

  private func set(_ argument: dnnl_exec_arg_t, _ address: UnsafeRawPointer) {
    // The C API takes inputs as mutable addresses too.
    OneDNN.check(
      dnnl_memory_set_data_handle(argument.memory, UnsafeMutableRawPointer(mutating: address)),
      "dnnl_memory_set_data_handle")
  }

  private func binding(of primitive: Primitive) -> Binding {
    while bindings.count <= primitive.number { bindings.append(nil) }
    if let binding = bindings[primitive.number] { return binding }
    let binding = Binding(primitive)
    bindings[primitive.number] = binding
    return binding
  }
}
