import Foundation
import Kernels
import Tensors

/// Kernels and slices that were measured for one network. Decides a run's bits, so it travels with its checkpoints.
public struct KernelPlan: Codable, Hashable, Sendable {
  package let version: Int
  package let instructionSet: String
  /// By the layer's name.
  package var convolutions: [String: ConvolutionAlgorithms]
  /// The most samples of a slice, by segment.
  package var sliceSizes: [Int]

  private enum CodingKeys: String, CodingKey {
    case version
    case instructionSet = "instruction_set"
    case convolutions
    case sliceSizes = "slice_sizes"
  }

  package init(convolutions: [String: ConvolutionAlgorithms], sliceSizes: [Int]) {
    version = 1
    instructionSet = InstructionSet.name
    self.convolutions = convolutions
    self.sliceSizes = sliceSizes
  }

  /// - Throws: `LockstepError` if the file cannot be read, is no plan, or was measured on other instructions.
  public init(contentsOf path: String) throws {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw LockstepError("cannot read the plan \(path); lockstep tune --save \(path) makes one")
    }
    try self.init(data, from: path)
  }

  /// - Parameter path: where the bytes come from, for errors.
  package init(_ data: Data, from path: String) throws {
    do {
      self = try JSONDecoder().decode(KernelPlan.self, from: data)
    } catch {
      let reason = error is LockstepError ? "\(error)" : "it is not what lockstep tune writes"
      throw LockstepError("\(path) is no plan: \(reason)")
    }
    guard version == 1 else { throw LockstepError("\(path) is a plan of version \(version); this program reads 1") }
    guard instructionSet == InstructionSet.name else {
      throw LockstepError(
        "\(path) was measured with \(instructionSet), but this processor has \(InstructionSet.name); make another with"
          + " lockstep tune")
    }
  }

  /// The plan as a file: the same bytes for the same plan.
  package var data: Data {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      return try encoder.encode(self)
    }
  }

  /// Writes the plan to a file.
  public func write(to path: String) throws { try AtomicFile.write([data], to: path) }

  /// - Throws: `LockstepError` naming what does not fit the network.
  package func check(_ network: Network, segments: Int, inBFloat16: Bool) throws {
    let convolutions = network.operations.compactMap { $0 as? any TunableConvolution }
    for (name, algorithms) in convolutions.isEmpty ? [] : self.convolutions.sorted(by: { $0.key < $1.key }) {
      guard let operation = convolutions.first(where: { $0.name == name }) else {
        throw LockstepError("the plan is of another network: this one has no convolution \(name)")
      }
      let known = operation.geometry.algorithms(inBFloat16: inBFloat16)
      for pass in ConvolutionPassKind.allCases where !known.contains(algorithms[pass]) {
        throw LockstepError(
          "the plan asks for \(algorithms[pass]) in \(name), for which there is \(known.map(\.description).joined(separator: ", "))"
        )
      }
    }
    guard sliceSizes.count == segments, sliceSizes.allSatisfy({ $0 > 0 }) else {
      throw LockstepError(
        "the plan is of another network: it has slices for \(sliceSizes.count) segments, this network has \(segments)")
    }
  }
}

/// A convolution whose kernels can be chosen.
package protocol TunableConvolution: Operation {
  var geometry: ConvolutionGeometry { get }
}
