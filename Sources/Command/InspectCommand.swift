import ArgumentParser
import Collectives
import Reports
import Training

struct InspectCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show a network's layers, shapes, parameters, floating-point operations, segments and memory.",
    discussion: """
        lockstep inspect --model resnet50 --shape 3,224,224 --classes 1000 --batch-size 32
        lockstep inspect --model vgg11 --shape 3,32,32 --classes 10 --json
      """)

  @OptionGroup var arguments: BenchArguments

  @Flag(help: "Print JSON.")
  var json = false

  func run(_ job: Job) throws {
    let options = arguments.options(job)
    try job.requireSame(arguments.shared(options))
    let trainer = try job.communicator.agree { () throws -> Trainer in
      let data = try arguments.data()
      return try Trainer(
        arguments.modelArguments.make(for: data), data: data, options: options, communicator: job.communicator)
    }
    let table = NetworkTable(trainer, model: arguments.modelArguments.model)
    job.print(json ? try table.json : table.text)
  }
}
