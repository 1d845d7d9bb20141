import Layers

/// Residual networks. Shortcuts are normalized projections where the shape changes; names are torchvision's.
///
/// Source: He, Zhang, Ren, Sun 2016, doi:10.1109/CVPR.2016.90.
public enum ResNet {
  /// The CIFAR form of section 4.2: three stages of `(depth - 2) / 6` blocks, 16, 32 and 64 channels.
  public static func cifar(depth: Int, _ options: ModelOptions) -> Sequential {
    let blocks = (depth - 2) / 6
    return network(
      stem: [Convolution(16, kernel: 3, padding: 1, bias: options.convolutionBias).named("conv1")],
      afterStem: [], widths: [16, 32, 64], blocks: [blocks, blocks, blocks], expansion: 1, options)
  }

  /// ResNet-18, the ImageNet form of table 1.
  public static func resnet18(_ options: ModelOptions) -> Sequential {
    imageNet(blocks: [2, 2, 2, 2], expansion: 1, options)
  }

  /// ResNet-50, the ImageNet form of table 1, with torchvision's stride in the 3x3 convolutions.
  public static func resnet50(_ options: ModelOptions) -> Sequential {
    imageNet(blocks: [3, 4, 6, 3], expansion: 4, options)
  }

  private static func imageNet(blocks: [Int], expansion: Int, _ options: ModelOptions) -> Sequential {
    network(
      stem: [Convolution(64, kernel: 7, stride: 2, padding: 3, bias: options.convolutionBias).named("conv1")],
      afterStem: [MaxPooling(3, stride: 2, padding: 1).named("maxpool")], widths: [64, 128, 256, 512], blocks: blocks,
      expansion: expansion, options)
  }

  private static func network(
    stem: [any Layer], afterStem: [any Layer], widths: [Int], blocks: [Int], expansion: Int, _ options: ModelOptions
  ) -> Sequential {
    var channels = widths[0]
    return Sequential {
      stem
      options.norm("bn1", channels)
      ReLU().named("relu")
      afterStem
      for (stage, width) in widths.enumerated() {
        Sequential {
          for block in 0..<blocks[stage] {
            let stride = stage > 0 && block == 0 ? 2 : 1
            residual(width, stride: stride, expansion: expansion, channels: &channels, options)
          }
        }.named("layer\(stage + 1)")
      }
      GlobalAveragePooling().named("avgpool")
      if options.dropout != 0 { Dropout(options.dropout) }
      Linear(options.classCount).named("fc")
    }
  }

  /// A block of two 3x3 convolutions, or, with an expansion, of 1x1, 3x3 and 1x1.
  private static func residual(
    _ width: Int, stride: Int, expansion: Int, channels: inout Int, _ options: ModelOptions
  ) -> Residual {
    let outputs = width * expansion
    func convolution(_ name: String, _ outputs: Int, kernel: Int, stride: Int = 1) -> any Layer {
      Convolution(outputs, kernel: kernel, stride: stride, padding: kernel / 2, bias: options.convolutionBias)
        .named(name)
    }
    let shortcut =
      stride == 1 && channels == outputs
      ? nil
      : Sequential {
        convolution("0", outputs, kernel: 1, stride: stride)
        options.norm("1", outputs)
      }
    channels = outputs
    return Residual(shortcut: shortcut) {
      if expansion == 1 {
        convolution("conv1", width, kernel: 3, stride: stride)
        options.norm("bn1", width)
        ReLU().named("relu")
        convolution("conv2", width, kernel: 3)
        options.norm("bn2", width)
      } else {
        convolution("conv1", width, kernel: 1)
        options.norm("bn1", width)
        ReLU().named("relu")
        convolution("conv2", width, kernel: 3, stride: stride)
        options.norm("bn2", width)
        ReLU().named("relu")
        convolution("conv3", outputs, kernel: 1)
        options.norm("bn3", outputs)
      }
    }
  }
}
