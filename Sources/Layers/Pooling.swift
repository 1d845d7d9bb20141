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
    let pooling = try Pooling(x, kernel, kernel, stride, padding, network)
    return network.append(MaxPoolingOperation(network.path, pooling))
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
    let pooling = try Pooling(x, kernel, kernel, stride, padding, network)
    return network.append(AveragePoolingOperation(network.path, pooling, countsPadding: countsPadding))
  }
}

/// The mean of each channel's image. x: [N, C, H, W] -> [N, C].
public struct GlobalAveragePooling: Layer {
  public init() {}

  public func build(_ x: Value, in network: NetworkBuilder) throws -> Value {
    if x.shape.positions == 1 { return x }
    let pooling = try Pooling(x, x.shape.height, x.shape.width, 1, 0, network)
    return network.append(AveragePoolingOperation(network.path, pooling, countsPadding: false))
  }
}

/// What poolings have in common: both activations and the window between them.
struct Pooling {
  let x: Value
  let y: Value
  let geometry: PoolingGeometry

  fileprivate init(
    _ x: Value, _ height: Int, _ width: Int, _ stride: Int, _ padding: Int, _ network: NetworkBuilder
  ) throws {
    guard min(height, width, stride) > 0, padding >= 0, 2 * padding <= min(height, width) else {
      throw network.error("a pooling's kernel and stride must be positive, its padding at most half the kernel")
    }
    guard x.shape.height + 2 * padding >= height, x.shape.width + 2 * padding >= width else {
      throw network.error(
        "a pooling kernel of \(height)x\(width) does not fit into an image of \(x.shape); the network needs larger images"
      )
    }
    self.x = network.blocked(x)
    y = network.value(
      SampleShape(
        channels: x.shape.channels, height: (x.shape.height + 2 * padding - height) / stride + 1,
        width: (x.shape.width + 2 * padding - width) / stride + 1))
    geometry = PoolingGeometry(
      input: self.x.layout, output: y.layout, kernelHeight: height, kernelWidth: width, stride: stride,
      padding: padding)
  }

  fileprivate func wiring(_ name: String) -> Wiring { Wiring(name, [x], y) }
  var size: String { "\(geometry.kernelHeight)x\(geometry.kernelWidth)" }
  var flopsPerSample: Int { y.shape.count * geometry.kernelHeight * geometry.kernelWidth }
}

final class MaxPoolingOperation: Operation {
  let wiring: Wiring
  let pooling: Pooling

  fileprivate init(_ name: String, _ pooling: Pooling) {
    self.pooling = pooling
    wiring = pooling.wiring(name)
  }

  var kind: String { "MaxPooling \(pooling.size)" }
  func backwardReads(input: Int) -> Bool { true }
  var backwardReadsOutput: Bool { true }
  var flopsPerSample: Int { pooling.flopsPerSample }

  func forward(_ slice: Slice) {
    MaxPoolingKernel.forward(slice[inputs[0]], y: slice[output], pooling.geometry, samples: slice.count)
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    MaxPoolingKernel.backward(
      slice.gradient(output), x: slice[inputs[0]], y: slice[output], dx: dx, pooling.geometry, samples: slice.count)
  }
}

private final class AveragePoolingOperation: Operation {
  let wiring: Wiring
  private let pooling: Pooling
  private let kernel: AveragePoolingKernel

  init(_ name: String, _ pooling: Pooling, countsPadding: Bool) {
    self.pooling = pooling
    kernel = AveragePoolingKernel(pooling.geometry, countsPadding: countsPadding)
    wiring = pooling.wiring(name)
  }

  var kind: String { "AveragePooling \(pooling.size)" }
  var flopsPerSample: Int { pooling.flopsPerSample }

  func forward(_ slice: Slice) {
    kernel.forward(slice[inputs[0]], y: slice[output], samples: slice.count, slice.kernels)
  }

  func backward(_ slice: Slice) {
    guard let dx = slice.inputGradient(self, 0) else { return }
    kernel.backward(slice.gradient(output), dx: dx, samples: slice.count, slice.kernels)
  }
}
