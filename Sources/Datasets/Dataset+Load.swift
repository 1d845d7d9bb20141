import Tensors

extension Dataset {
  /// The names that `load` knows.
  public static let names = ["glyphs", "random", "mnist", "fashion-mnist", "cifar10", "cifar100", "tensors"]

  /// The numbers of classes that are believed: a label beyond is damage.
  static let classCounts = 1...1_000_000

  static func check(classCount: Int) throws {
    guard classCounts.contains(classCount) else {
      throw LockstepError("the number of classes must be in \(classCounts), not \(classCount)")
    }
  }

  /// Loads a data set by name and checks it whole.
  ///
  /// | name | what it is | path |
  /// |---|---|---|
  /// | `glyphs` | digits drawn from `seed`, [1, 28, 28] | - |
  /// | `random` | 2,048 samples of noise drawn from `seed`, of the given shape and number of classes | - |
  /// | `mnist`, `fashion-mnist` | IDX files, plain or .gz | their folder |
  /// | `cifar10`, `cifar100` | the binary version | its folder, or the one around it |
  /// | `tensors` | arrays x and y, and x_test and y_test if there are any | a safetensors file |
  ///
  /// - Parameters:
  ///   - shape: what `random` makes; the others have their own, and this one, if given, must be the same.
  ///   - classCount: what `random` makes and `tensors` may be told; the others have their own, as above.
  /// - Throws: `LockstepError` naming the file, the offset and what was expected there, or the option that is missing.
  public static func load(
    _ name: String, path: String?, shape: SampleShape?, classCount: Int?, seed: UInt64
  ) throws -> Dataset {
    if let path, ["glyphs", "random"].contains(name) {
      throw LockstepError("\(name) is made, not read: it has no use for --data \(path)")
    }
    if let classCount { try check(classCount: classCount) }
    let dataset =
      switch name {
      case "glyphs": glyphs(seed: seed)
      case "random":
        if let shape, let classCount {
          try random(shape: shape, classCount: classCount, seed: seed)
        } else {
          throw LockstepError("random needs the shape of a sample and the number of classes: --shape C,H,W --classes N")
        }
      case "mnist":
        try mnist(
          name: name, folder: path, source: "https://ossci-datasets.s3.amazonaws.com/mnist",
          augmentation: Augmentation(cropPadding: 2, horizontalFlip: false))
      case "fashion-mnist":
        try mnist(
          name: name, folder: path, source: "https://github.com/zalandoresearch/fashion-mnist",
          augmentation: Augmentation(cropPadding: 2, horizontalFlip: true))
      case "cifar10": try CIFAR.ten.dataset(folder: path)
      case "cifar100": try CIFAR.hundred.dataset(folder: path)
      case "tensors": try tensors(file: path, classCount: classCount)
      default: throw LockstepError("no data set is called \(name); there are \(names.joined(separator: ", "))")
      }
    if let shape, shape != dataset.shape {
      throw LockstepError("\(name) has samples \(dataset.shape), not \(shape)")
    }
    if let classCount, classCount != dataset.classCount {
      throw LockstepError("\(name) has \(dataset.classCount) classes, not \(classCount)")
    }
    return dataset
  }
}
