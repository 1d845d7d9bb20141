import Tensors

/// Where operations find activations, and gradients of them, in a worker's slices, by the values' numbers.
///
/// What outlives a slice is in its owner's memory; what does not, in that of the worker that computes it.
package final class ActivationPlaces {
  /// An activation or a gradient of one.
  package struct Place<Element: BitwiseCopyable> {
    let start: UnsafeMutablePointer<Element>?
    /// The distance between samples if all of the owner's are kept; 0 if only the current slice's are.
    let stride: Int

    package init(start: UnsafeMutablePointer<Element>?, stride: Int) {
      self.start = start
      self.stride = stride
    }

    /// The place of the owner's sample of that number, or of the current slice.
    package func address(_ sample: Int) -> UnsafeMutablePointer<Element> {
      guard let start else { invariantFailure("a value without memory is asked for") }
      return start + sample * stride
    }
  }

  /// The samples of the batch, as they were read.
  package let input: Place<Float>
  package let values: UnsafeMutableBufferPointer<Place<Float>>
  package let gradients: UnsafeMutableBufferPointer<Place<Float>>
  /// Where training in bf16 keeps what outlives a slice.
  package let keptValues: UnsafeMutableBufferPointer<Place<UInt16>>
  package let keptGradients: UnsafeMutableBufferPointer<Place<UInt16>>

  package init(
    input: Place<Float>, values: [Place<Float>], gradients: [Place<Float>], keptValues: [Place<UInt16>],
    keptGradients: [Place<UInt16>]
  ) {
    self.input = input
    (self.values, self.gradients) = (.table(values), .table(gradients))
    (self.keptValues, self.keptGradients) = (.table(keptValues), .table(keptGradients))
  }

  deinit {
    values.deallocate()
    gradients.deallocate()
    keptValues.deallocate()
    keptGradients.deallocate()
  }
}
