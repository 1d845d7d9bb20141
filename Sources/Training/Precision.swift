/// The numbers that training computes with.
public enum Precision: String, Sendable, CaseIterable {
  /// 32-bit floats everywhere.
  case float32 = "fp32"
  /// Activations and their gradients are bf16 numbers, and are kept in memory as such; convolutions and linear layers see
  /// weights rounded to bf16. Every sum and every parameter, batch norm's statistics, the optimizer's state and the loss
  /// are as in fp32.
  ///
  /// Computed with fp32 instructions on expanded values: the products of bf16 numbers are exact in them. That saves memory
  /// and its traffic, on any processor; it does not multiply faster.
  case bfloat16 = "bf16"
}
