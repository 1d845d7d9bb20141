extension Collection<Double> {
  /// The middle one, or the mean of the middle two; nil if there are none.
  package var median: Double? {
    let sorted = sorted()
    return isEmpty ? nil : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }
}
