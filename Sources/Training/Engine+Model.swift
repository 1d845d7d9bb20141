import Foundation
import Kernels
import Layers
import Tensors

/// The engine's state as files hold it: plain layouts, PyTorch's names.
extension Engine {
  /// Fills all parameters from their initializers.
  func initializeParameters(seed: UInt64) {
    for parameter in plan.network.parameters {
      set(parameter, parameter.initializer.values(count: parameter.count, seed: seed, number: parameter.number))
    }
  }

  /// The model, its tensors in the order of definition, with PyTorch's names and shapes.
  package var model: Safetensors {
    var file = tensors(of: plan.network.parameters, in: parameters.current.baseAddress!)
    file.metadata = ["format": "pt"]
    return file
  }

  /// Takes the parameters of a model file.
  ///
  /// - Parameter source: the file's name, for errors.
  /// - Throws: `LockstepError` naming the first tensor that is missing, superfluous or of another shape.
  package func take(_ file: Safetensors, from source: String) throws {
    try check(file, plan.network.parameters, source)
    for parameter in plan.network.parameters { set(parameter, file[parameter.name]!.floats) }
    let counter = file.names.first { $0.hasSuffix(Self.counterName) }.flatMap { file[$0] }
    if let counter, counter.type == .int64, let count = counter.int64s.first {
      batchesTracked = Int(count)
    }
  }

  /// The optimizer's velocities under the names of their parameters, on every rank.
  package func velocities() throws -> Safetensors {
    let all = try exchange.gatheredVelocities()
    return tensors(of: plan.network.parameters.filter(\.isLearned), in: UnsafePointer(all.start), withCounters: false)
  }

  /// Takes the optimizer's velocities.
  package func takeVelocities(_ file: Safetensors, from source: String) throws {
    let learned = plan.network.parameters.filter(\.isLearned)
    try check(file, learned, source)
    let all = AlignedBuffer<Float>(count: plan.parameterCount)
    for parameter in learned {
      parameter.layout.pack(file[parameter.name]!.floats, to: all.start + parameter.offset, workers[0].kernels)
    }
    exchange.takeVelocities(all.start)
  }

  // MARK: - Parts

  /// PyTorch counts the batches of every batch norm; ours see the same ones.
  private static let counterName = "num_batches_tracked"

  func set(_ parameter: Parameter, _ values: [Float]) {
    parameters.change { parameter.layout.pack(values, to: $0 + parameter.offset, workers[0].kernels) }
  }

  private func tensors(
    of list: [Parameter], in array: UnsafePointer<Float>, withCounters: Bool = true
  ) -> Safetensors {
    var file = Safetensors()
    for parameter in list {
      let plain = AlignedBuffer<Float>(count: parameter.count)
      parameter.layout.unpack(array + parameter.offset, to: plain.start, workers[0].kernels)
      file[parameter.name] = Tensor(Array(plain.elements), shape: parameter.shape)
      if withCounters, let stem = parameter.name.removingSuffix("running_var") {
        let count = withUnsafeBytes(of: Int64(batchesTracked)) { Data($0) }
        file[stem + Self.counterName] = Tensor(type: .int64, shape: [], data: count)
      }
    }
    return file
  }

  private func check(_ file: Safetensors, _ expected: [Parameter], _ source: String) throws {
    for parameter in expected {
      guard let tensor = file[parameter.name] else {
        throw LockstepError("\(source) is of another model: it has no \(parameter.name) \(parameter.shape)")
      }
      guard tensor.shape == parameter.shape else {
        throw LockstepError(
          "\(source) is of another model: its \(parameter.name) is \(tensor.shape), this model's \(parameter.shape)")
      }
      guard tensor.type == .float32 else {
        throw LockstepError("\(source): \(parameter.name) is \(tensor.type.rawValue); only F32 can be read")
      }
    }
    let known = Set(expected.map(\.name))
    if let extra = file.names.first(where: { !known.contains($0) && !$0.hasSuffix(Self.counterName) }) {
      throw LockstepError("\(source) is of another model: this one has no \(extra) \(file[extra]!.shape)")
    }
  }
}

extension String {
  /// The rest, if the string ends so.
  fileprivate func removingSuffix(_ suffix: String) -> String? {
    hasSuffix(suffix) ? String(dropLast(suffix.count)) : nil
  }
}
