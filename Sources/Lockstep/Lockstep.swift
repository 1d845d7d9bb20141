// The library's front: everything a program needs that trains models of its own.

@_exported import Collectives
@_exported import Datasets
@_exported import Layers
@_exported import Models
@_exported import Tensors
@_exported import Training
