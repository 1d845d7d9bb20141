import ArgumentParser
import Collectives
import Datasets
import Reports
import Tensors
import Training

struct InspectCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show a network's layers, shapes, parameters, floating-point operations, segments and memory.",
    discussion: """
        lockstep inspect --model resnet50 --shape 3,224,224 --classes 1000 --batch-size 32
        lockstep inspect --model vgg11 --shape 3,32,32 --classes 10 --json
      """)

  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(help: ArgumentHelp("The shape of a sample. (default: 3,32,32)", valueName: "C,H,W"))
  var shape: ShapeChoice?

  @Option(help: ArgumentHelp("The number of classes.", valueName: "count"))
  var classes = 10

  @Option(help: ArgumentHelp("Samples of one step, over all workers.", valueName: "count"))
  var batchSize = 128

  @Option(help: ArgumentHelp("Shards of a batch. (default: as in training)", valueName: "count"))
  var shards: Int?

  @Option(help: ArgumentHelp("Computing threads per rank. (default: the CPUs this rank may use)", valueName: "count"))
  var threads: Int?

  @Flag(help: "Print JSON.")
  var json = false

  func run(_ job: Job) throws {
    var options = TrainingOptions()
    options.globalBatchSize = batchSize
    options.shards = shards
    options.threads = threads ?? job.defaultThreads
    let trainer = try job.communicator.agree { [options] () throws -> Trainer in
      let shape = shape?.shape ?? SampleShape(channels: 3, height: 32, width: 32)
      let model = try modelArguments.make(input: shape, classCount: classes)
      let data = try Dataset.load("random", path: nil, shape: shape, classCount: classes, seed: 0)
      return try Trainer(model, data: data, options: options, communicator: job.communicator)
    }
    let table = NetworkTable(trainer, model: modelArguments.model)
    job.print(json ? table.json : table.text)
  }
}
