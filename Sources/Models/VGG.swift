import Layers
import Tensors

/// Networks of 3x3 convolutions, in the form common for CIFAR: five stages that halve the image, one linear classifier.
///
/// Source: Simonyan, Zisserman 2015, arXiv:1409.1556, configurations A and D, with batch norm unless other options are given.
public enum VGG {
  /// Configuration A: 8 convolutions.
  public static func vgg11(_ options: ModelOptions) throws -> Sequential {
    try network([[64], [128], [256, 256], [512, 512], [512, 512]], options)
  }

  /// Configuration D: 13 convolutions.
  public static func vgg16(_ options: ModelOptions) throws -> Sequential {
    try network([[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]], options)
  }

  private static func network(_ stages: [[Int]], _ options: ModelOptions) throws -> Sequential {
    guard min(options.input.height, options.input.width) >= 32 else {
      throw LockstepError(
        "VGG halves the image five times and needs at least 32x32 pixels, but the data has \(options.input);"
          + " choose resnet20 or mlp")
    }
    return Sequential {
      Sequential {
        for stage in stages {
          for width in stage {
            Convolution(width, kernel: 3, padding: 1, bias: options.convolutionBias)
            options.norm(width)
            ReLU()
          }
          MaxPooling(2)
        }
      }.named("features")
      Flatten()
      if options.dropout != 0 { Dropout(options.dropout) }
      Linear(options.classCount).named("classifier")
    }
  }
}
