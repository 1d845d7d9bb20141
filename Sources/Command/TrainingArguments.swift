import ArgumentParser
import Tensors
import Training

struct TrainingArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(
    help: ArgumentHelp(
      "Parts of a batch that move between workers whole; decides bits, and how many workers can share a batch. (default: one for every 16 samples, but at least 4 and at most 8)",
      valueName: "count"))
  var shards: Int?

  @Option(help: ArgumentHelp("Computing threads per rank. (default: its CPUs, at most its shards)", valueName: "count"))
  var threads: Int?

  @Option(help: ArgumentHelp("Passes over the data. (default: 3)", valueName: "count"))
  var epochs: Int?

  @Option(help: ArgumentHelp("Optimizer steps, instead of epochs.", valueName: "count"))
  var steps: Int?

  @Option(help: ArgumentHelp("The learning rate.", valueName: "rate"))
  var learningRate: Float = 0.1

  @Option(
    help: ArgumentHelp(
      "The batch size that the learning rate is meant for; others scale it in proportion (the linear scaling rule).",
      valueName: "count"))
  var linearScaling: Int?

  @Option(help: ArgumentHelp("Momentum of stochastic gradient descent.", valueName: "m"))
  var momentum: Float = 0.9

  @Flag(help: "Nesterov's momentum.")
  var nesterov = false

  @Option(help: ArgumentHelp("Weight decay (the L2 penalty's factor).", valueName: "factor"))
  var weightDecay: Float = 0

  @Flag(help: "Spare biases and the parameters of normalizations from weight decay.")
  var decayWeightsOnly = false

  @Option(help: ArgumentHelp("Label smoothing.", valueName: "share"))
  var labelSmoothing: Float = 0

  @Option(
    help: ArgumentHelp(
      "The learning rate's course: constant; times a factor (0.1) when given epochs have passed; or half a cosine to 0.",
      valueName: "constant|step:E,E,...[:factor]|cosine"))
  var schedule = Schedule()

  @Option(help: ArgumentHelp("Epochs in which the learning rate rises linearly to its value.", valueName: "epochs"))
  var warmupEpochs: Double = 0

  @Option(help: ArgumentHelp("The key of all randomness.", valueName: "number"))
  var seed: UInt64 = 0

  @OptionGroup var precisionArguments: PrecisionArguments

  @Flag(help: "Take the samples in the data set's order.")
  var noShuffle = false

  @Flag(help: "Crop the training samples at random after padding and, where that makes sense, flip them.")
  var augment = false

  func validate() throws {
    if epochs != nil, steps != nil { throw ValidationError("Give either --epochs or --steps, not both.") }
  }

  func options(_ job: Job) -> TrainingOptions {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.shards = shards
    options.threads = threads ?? job.defaultThreads(shards: options.effectiveShards)
    options.length = steps.map { .steps($0) } ?? .epochs(epochs ?? 3)
    options.learningRate = learningRate
    options.linearScalingBase = linearScaling
    options.optimizer = SGD(
      momentum: momentum, weightDecay: weightDecay, nesterov: nesterov, decaysWeightsOnly: decayWeightsOnly)
    options.schedule = Schedule(schedule.shape, warmupEpochs: warmupEpochs)
    options.labelSmoothing = labelSmoothing
    options.precision = precisionArguments.precision
    options.seed = seed
    options.shuffles = !noShuffle
    options.augments = augment
    return options
  }

  /// The options that decide bits, by their names on the command line.
  func runOptions(_ options: TrainingOptions) -> [(name: String, value: String)] {
    [
      ("batch-size", "\(batchSize)"), ("shards", "\(options.effectiveShards)"), ("learning-rate", "\(learningRate)"),
      ("linear-scaling", linearScaling.map { "\($0)" } ?? "unset"), ("momentum", "\(momentum)"),
      ("nesterov", "\(nesterov)"), ("weight-decay", "\(weightDecay)"), ("decay-weights-only", "\(decayWeightsOnly)"),
      ("label-smoothing", "\(labelSmoothing)"), ("schedule", "\(schedule)"), ("warmup-epochs", "\(warmupEpochs)"),
      ("seed", "\(seed)"), ("no-shuffle", "\(noShuffle)"), ("augment", "\(augment)"),
    ] + precisionArguments.options
  }

  var lengthOptions: [(name: String, value: String)] {
    [("epochs", epochs.map { "\($0)" } ?? "unset"), ("steps", steps.map { "\($0)" } ?? "unset")]
  }
}
