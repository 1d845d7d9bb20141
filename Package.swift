// swift-tools-version: 6.1
import PackageDescription

// Imports go only downward. Each edge is declared here and checked by the build
// (`--explicit-target-dependency-import-check error`).

let settings: [SwiftSetting] = [.enableUpcomingFeature("MemberImportVisibility")]

let package = Package(
  name: "lockstep",
  products: [
    .library(name: "Lockstep", targets: ["Lockstep"]),
    .executable(name: "lockstep", targets: ["Command"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
  ],
  targets: [
    // MARK: - The command and the library's front

    .executableTarget(
      name: "Command",
      dependencies: [
        "Collectives", "Datasets", "Experiments", "Kernels", "Layers", "Models", "Reports", "Tensors", "Training",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: settings),
    .target(
      name: "Lockstep",
      dependencies: ["Collectives", "Datasets", "Layers", "Models", "Tensors", "Training"],
      swiftSettings: settings),

    // MARK: - Experiments

    .target(
      name: "Experiments",
      dependencies: ["Collectives", "Datasets", "Layers", "Models", "Reports", "Tensors", "Training"],
      swiftSettings: settings),

    // MARK: - Models and reports

    .target(name: "Models", dependencies: ["Layers", "Tensors"], swiftSettings: settings),
    .target(
      name: "Reports", dependencies: ["Kernels", "Layers", "Tensors", "Training"], swiftSettings: settings),

    // MARK: - The engine

    .target(
      name: "Training",
      dependencies: ["Collectives", "CPlatform", "Datasets", "Kernels", "Layers", "Tensors"],
      swiftSettings: settings),

    // MARK: - Layers and data sets

    .target(
      name: "Layers", dependencies: ["Collectives", "Kernels", "Tensors"], swiftSettings: settings),
    .target(name: "Datasets", dependencies: ["CKernels", "CZlib", "Tensors"], swiftSettings: settings),

    // MARK: - Compute and communication

    .target(
      name: "Kernels", dependencies: ["CKernels", "COneDNN", "CPlatform", "Tensors"], swiftSettings: settings),
    .target(
      name: "Collectives", dependencies: ["CKernels", "CMPI", "CPlatform", "Tensors"], swiftSettings: settings),

    // MARK: - Foundations

    .target(name: "Tensors", swiftSettings: settings),

    // MARK: - C: instructions that Swift has no words for, and system libraries

    .target(name: "CKernels"),
    .target(name: "CPlatform", linkerSettings: [.linkedLibrary("gomp")]),
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // MARK: - Tests

    .target(
      name: "Support", dependencies: ["Collectives", "Datasets", "Kernels", "Layers", "Tensors", "Training"],
      path: "Tests/Support", swiftSettings: settings),
    .testTarget(
      name: "CollectivesTests", dependencies: ["Collectives", "Support", "Tensors"], swiftSettings: settings),
    .testTarget(
      name: "CommandTests", dependencies: ["Command", "Reports", "Tensors"], swiftSettings: settings),
    .testTarget(name: "DatasetsTests", dependencies: ["CZlib", "Datasets", "Tensors"], swiftSettings: settings),
    .testTarget(
      name: "ExperimentsTests",
      dependencies: ["Collectives", "Datasets", "Experiments", "Layers", "Support", "Tensors", "Training"],
      swiftSettings: settings),
    .testTarget(
      name: "KernelsTests", dependencies: ["Collectives", "Kernels", "Support", "Tensors"], swiftSettings: settings),
    .testTarget(
      name: "LayersTests", dependencies: ["Collectives", "Kernels", "Layers", "Models", "Support", "Tensors"],
      exclude: ["Oracles"], swiftSettings: settings),
    .testTarget(name: "ReportsTests", dependencies: ["Reports", "Tensors"], swiftSettings: settings),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors"], swiftSettings: settings),
    .testTarget(
      name: "TrainingTests",
      dependencies: ["Collectives", "Datasets", "Kernels", "Layers", "Models", "Support", "Tensors", "Training"],
      swiftSettings: settings),
  ]
)
