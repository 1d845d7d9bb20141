/// mean = sum(x) / n,   variance = sum(x^2) / n - mean^2
package func meanAndVariance(sum: Double, squaredSum: Double, count: Double) -> (mean: Double, variance: Double) {
  let mean = sum / count
  let variance = squaredSum / count - mean * mean
  // What remains below Double's resolution of the squares is rounding: all elements are the same.
  return (mean, variance < mean * mean * 0x1p-50 ? 0 : variance)
}
