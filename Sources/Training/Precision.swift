/// The numbers that training computes with.
public enum Precision: String, Sendable, CaseIterable {
  /// 32-bit floats everywhere.
  case float32 = "fp32"
  /// Activations and their gradients are bf16 numbers, and are kept in memory as such; convolutions and linear layers see
  /// weights rounded to bf16. Every sum and every parameter, batch norm's statistics, the optimizer's state and the loss
  /// are as in fp32.
  ///
  /// Where the processor has AMX, it multiplies convolutions' bf16 numbers; all other products are made by fp32 instructions
  /// on expanded values. Either way they are exact, and memory and its traffic are saved on any processor.
  case bfloat16 = "bf16"
}
