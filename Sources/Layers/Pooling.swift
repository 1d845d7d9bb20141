import Kernels
import Tensors

/// The largest element under the kernel. x: [N, C, H, W] -> [N, C, H', W'], H' = (H + 2 padding - kernel) / stride + 1.
///
/// Padding never wins; of equal elements the first is taken. The gradient goes to the element taken.
public struct MaxPooling: Layer {
  var kernel: Int
  var stride: Int
  var padding: Int

  /// - Parameter stride: the kernel's size if nil.
  public init(_ kernel: Int, stride: Int? = nil, padding: Int = 0) {
    self.kernel = kernel
    self.stride = stride ?? kernel
    self.padding = padding
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    try PoolingOperation.build(.max, x, kernel, kernel, stride, padding, network)
  }
}

/// The mean of the elements under the kernel. x: [N, C, H, W] -> [N, C, H', W'].
public struct AveragePooling: Layer {
  var kernel: Int
  var stride: Int
  var padding: Int
  var countsPadding: Bool

  /// - Parameters:
  ///   - stride: the kernel's size if nil.
  ///   - countsPadding: whether the zeros of the padding count as elements, as PyTorch's `count_include_pad`.
  public init(_ kernel: Int, stride: Int? = nil, padding: Int = 0, countsPadding: Bool = true) {
    self.kernel = kernel
    self.stride = stride ?? kernel
    self.padding = padding
    self.countsPadding = countsPadding
  }

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    try PoolingOperation.build(
      .average(countsPadding: countsPadding), x, kernel, kernel, stride, padding, network)
  }
}

/// The mean of each channel's image. x: [N, C, H, W] -> [N, C].
public struct GlobalAveragePooling: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    if x.shape.positions == 1 { return x }
    return try PoolingOperation.build(
      .average(countsPadding: false), x, x.shape.height, x.shape.width, 1, 0, network)
  }
}

final class PoolingOperation: Operation, @unchecked Sendable {
  let wiring: Wiring
  private let kernel: PoolingKernel
  /// Per worker: which element was the largest.
  private var workspaces: [AlignedBuffer<UInt8>] = []

  static func build(
    _ kind: PoolingGeometry.Kind, _ x: Value, _ height: Int, _ width: Int, _ stride: Int, _ padding: Int,
    _ network: NetworkBuilder
  ) throws -> Value {
    guard min(height, width, stride) > 0, padding >= 0, 2 * padding <= min(height, width) else {
      throw network.error("a pooling's kernel and stride must be positive, its padding at most half the kernel")
    }
    guard x.shape.height + 2 * padding >= height, x.shape.width + 2 * padding >= width else {
      throw network.error(
        "a pooling kernel of \(height)x\(width) does not fit into an image of \(x.shape); the network needs larger images"
      )
    }
    let x = network.blocked(x)
    let shape = SampleShape(
      channels: x.shape.channels, height: (x.shape.height + 2 * padding - height) / stride + 1,
      width: (x.shape.width + 2 * padding - width) / stride + 1)
    let y = network.value(shape)
    let geometry = PoolingGeometry(
      kind: kind, input: x.layout, output: y.layout, kernelHeight: height, kernelWidth: width, stride: stride,
      padding: padding)
    return network.append(PoolingOperation(network.path, geometry, x, y))
  }

  private init(_ name: String, _ geometry: PoolingGeometry, _ x: Value, _ y: Value) {
    kernel = PoolingKernel(geometry)
    wiring = Wiring(name, [x], y)
  }

  var kind: String {
    "\(kernel.geometry.kind == .max ? "Max" : "Average")Pooling \(kernel.geometry.kernelHeight)x\(kernel.geometry.kernelWidth)"
  }
  var flopsPerSample: Int { output.shape.count * kernel.geometry.kernelHeight * kernel.geometry.kernelWidth }

  func compile(_ target: CompileTarget) {
    workspaces = (0..<target.workers).map { _ in AlignedBuffer(count: target.samplesPerWorker * kernel.workspaceBytes) }
  }

  private func workspace(_ slice: Slice) -> UnsafeMutablePointer<UInt8> {
    workspaces[slice.worker.index].start + slice.localStart * kernel.workspaceBytes
  }

  func forward(_ slice: Slice) {
    kernel.forward(
      slice[inputs[0]], y: slice[output], workspace: workspace(slice), samples: slice.count, slice.kernels)
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    kernel.backward(
      slice.gradient(output), dx: dx, workspace: workspace(slice), samples: slice.count, slice.kernels)
  }
}
