import Layers

/// Fully connected networks.
public enum Perceptron {
  /// The network of Ioffe and Szegedy 2015, arXiv:1502.03167, section 4.1: three hidden layers of 100 sigmoids, with batch
  /// norm on each, or another normalization or none.
  public static func ioffeSzegedy(_ options: ModelOptions) -> Sequential {
    network([100, 100, 100], activation: Sigmoid(), options)
  }

  /// Hidden layers of those widths, each normalized and rectified.
  public static func relu(_ widths: [Int], _ options: ModelOptions) -> Sequential {
    network(widths, activation: ReLU(), options)
  }

  private static func network(_ widths: [Int], activation: any Layer, _ options: ModelOptions) -> Sequential {
    Sequential {
      Flatten()
      for width in widths {
        Linear(width)
        options.norm(width)
        activation
        if options.dropout != 0 { Dropout(options.dropout) }
      }
      Linear(options.classCount)
    }
  }
}
