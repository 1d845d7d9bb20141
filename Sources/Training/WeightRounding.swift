import Kernels
import Layers
import Tensors

/// The parameters as operations see them in bf16 training: weights of convolutions and linear layers rounded, all others
/// as they are.
///
/// A copy, because the optimizer's steps are smaller than what bf16 resolves: it updates the parameters themselves.
/// Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.1.
struct WeightRounding: Sendable {
  let parameters: AlignedBuffer<Float>
  private let layout: [UpdatedRange]

  init(_ plan: Plan) {
    parameters = AlignedBuffer(count: plan.parameterCount)
    layout = plan.parameters.map { UpdatedRange($0) }
  }

  /// Makes the copy anew; each worker makes a part of it.
  func apply(_ source: UnsafePointer<Float>, _ worker: Worker) {
    let share = Share(worker.index, of: worker.grid.threads)
    for parameter in layout {
      let part = share.range(of: parameter.range.count)
      let first = parameter.range.lowerBound + part.lowerBound
      if parameter.role == .weight {
        BFloat16.round(source + first, to: parameters.start + first, count: part.count)
      } else {
        (parameters.start + first).update(from: source + first, count: part.count)
      }
    }
  }
}
