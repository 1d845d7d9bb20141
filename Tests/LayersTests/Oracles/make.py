"""Writes the oracles: small safetensors files with what each layer must compute, by PyTorch in float64.

    benchmarks/peers/install.sh
    .build-peers/venv/bin/python Tests/LayersTests/Oracles/make.py            # writes beside this file
    .build-peers/venv/bin/python Tests/LayersTests/Oracles/make.py --check    # compares with the files here

Inputs are random float32 numbers from fixed seeds; they are computed with in float64, and the results are rounded to
float32. The gradients are those of sum(w * y) with a random w: through batch norm, those of sum(y) would be nearly 0.

A file holds one case:

    x, w, y, dx          input, projection, output, gradient of the input
    parameter.<name>     parameters, named as in PyTorch
    gradient.<name>      their gradients
    before.<name>        batch norm's running statistics before the call, and
    after.<name>         after it; num_batches_tracked is int64
    x.first              batch-norm-2d-momentum-none only: the input of an earlier call, on which x's follows
    labels               cross-entropy only: int64

Metadata: `layer`, the name of PyTorch's class, and the case's settings as JSON numbers, booleans or null: kernel,
stride, padding, dilation, groups, bias, momentum, epsilon, affine, training, countIncludePad, labelSmoothing, ...

`moments.safetensors` holds, in place of a layer's, a float32 x [N, C, H, W] and its exact mean and biased variance per
channel in float64. Its metadata names the channels.
"""

import argparse
import json
import pathlib
import sys
import zlib

import numpy
import torch
from torch import nn

FOLDER = pathlib.Path(__file__).resolve().parent
TYPES = {numpy.dtype("float32"): "F32", numpy.dtype("float64"): "F64", numpy.dtype("int64"): "I64"}


def encode(tensors, metadata):
    """The bytes of a safetensors file: a pure function of the contents, which the safetensors package's are not."""
    header, body = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        array = numpy.ascontiguousarray(tensor.detach().numpy())
        end = len(body) + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype], "shape": list(tensor.shape), "data_offsets": [len(body), end]}
        body += array.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def stored(tensor):
    """A result as it is kept: float64 rounded to float32, integers as they are."""
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach().clone()


def distinct(*shape):
    """Random numbers that differ by at least 0.03 from each other and by 0.015 from 0: no ReLU or pool is near a tie."""
    count = torch.Size(shape).numel()
    return ((torch.randperm(count) - count // 2 + 0.5) * 0.03).reshape(shape)


def randomize(module):
    """Random parameters and running statistics, in place of zeros and ones that hide mistakes."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                if part.affine:
                    part.weight.uniform_(0.5, 1.5)
                    part.bias.normal_()
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 1.5)
            if isinstance(part, (nn.GroupNorm, nn.LayerNorm)) and part.weight is not None:
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_()


def layer(module, x, first=None, labels=None, **settings):
    """The tensors and metadata of one case; the module keeps the mode, training or not, that it comes in."""
    randomize(module)
    tensors = {"x": x}
    tensors |= {f"parameter.{name}": stored(value) for name, value in module.named_parameters()}
    tensors |= {f"before.{name}": stored(value) for name, value in module.named_buffers()}
    module = module.double()
    if first is not None:
        tensors["x.first"] = first
        module(first.double())
    input = x.double().requires_grad_()
    y = module(input) if labels is None else module(input, labels)
    w = torch.randn(y.shape)
    (w.double() * y).sum().backward()
    tensors |= {"w": w, "y": stored(y), "dx": stored(input.grad)}
    tensors |= {f"gradient.{name}": stored(value.grad) for name, value in module.named_parameters()}
    tensors |= {f"after.{name}": stored(value) for name, value in module.named_buffers()}
    if labels is not None:
        tensors["labels"] = labels
    metadata = {name: json.dumps(value) for name, value in settings.items()}
    return tensors, {"layer": type(module).__name__, **metadata}


# MARK: Layers

def linear(N, inputs, outputs, bias=True):
    return layer(nn.Linear(inputs, outputs, bias), torch.randn(N, inputs), inputs=inputs, outputs=outputs, bias=bias)


def convolution(x, outputs, kernel, stride=1, padding=0, dilation=1, groups=1, bias=False):
    N, C, H, W = x
    module = nn.Conv2d(C, outputs, kernel, stride, padding, dilation, groups, bias)
    return layer(module, torch.randn(N, C, H, W), inputs=C, outputs=outputs, kernel=kernel, stride=stride,
                 padding=padding, dilation=dilation, groups=groups, bias=bias)


def batch_norm(*shape, momentum=0.1, epsilon=1e-5, affine=True, training=True, calls=1):
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    module = kind(shape[1], eps=epsilon, momentum=momentum, affine=affine).train(training)
    # Channels of different mean and deviation, so that none can stand in for another.
    channel = torch.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    inputs = [torch.randn(shape) * (1 + 0.5 * channel) + channel - 1 for _ in range(calls)]
    return layer(module, inputs[-1], first=inputs[0] if calls == 2 else None,
                 momentum=momentum, epsilon=epsilon, affine=affine, training=training, calls=calls)


def sample_norm(module, shape, epsilon, affine, **settings):
    """A normalization of each sample by itself; samples and channels differ in mean and deviation."""
    N, C, *rest = shape
    sample, channel = torch.arange(N).reshape(N, 1, *[1] * len(rest)), torch.arange(C).reshape(1, C, *[1] * len(rest))
    x = torch.randn(shape) * (1 + 0.5 * channel) * (1 + 0.3 * sample) + channel - sample
    return layer(module, x, epsilon=epsilon, affine=affine, **settings)


def group_norm(groups, *shape, epsilon=1e-5, affine=True):
    return sample_norm(nn.GroupNorm(groups, shape[1], epsilon, affine), shape, epsilon, affine, groups=groups)


def layer_norm(*shape, epsilon=1e-5, affine=True):
    return sample_norm(nn.LayerNorm(shape[1:], epsilon, affine), shape, epsilon, affine)


def pool(kind, kernel, stride, padding, *shape, **settings):
    names = {"countIncludePad": "count_include_pad"}
    module = kind(kernel, stride, padding, **{names[name]: value for name, value in settings.items()})
    return layer(module, distinct(*shape), kernel=kernel, stride=stride, padding=padding, **settings)


class BasicBlock(nn.Module):
    """torchvision's basic block with a projection."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        hidden = self.bn1(self.conv1(x))
        sum = self.bn2(self.conv2(hidden.relu())) + self.downsample(x)
        self.margin = min(hidden.abs().min(), sum.abs().min()).item()
        return sum.relu()


def basic_block():
    # Drawn anew until no ReLU inside is so near 0 that rounding could decide it.
    while True:
        module = BasicBlock(3, 5, 2)
        case = layer(module, torch.randn(5, 3, 7, 5), inputs=3, outputs=5, stride=2, momentum=0.1, epsilon=1e-5,
                     training=True)
        if module.margin > 1e-3:
            return case


def cross_entropy(smoothing):
    labels = torch.tensor([3, 0, 6, 3, 1])
    return layer(nn.CrossEntropyLoss(label_smoothing=smoothing), 2 * torch.randn(5, 7), labels=labels,
                 labelSmoothing=smoothing)


def moments():
    channels = {
        "mean 1e4, deviation 1": 1e4 + torch.randn(13, 7, 5),
        "mean -1e4, deviation 1": -1e4 + torch.randn(13, 7, 5),
        "constant 0.1": torch.full((13, 7, 5), 0.1),
        "constant 12345.678": torch.full((13, 7, 5), 12345.678),
        "mean 1000, deviation 1": 1000 + torch.randn(13, 7, 5),
        "mean 0, deviation 1": torch.randn(13, 7, 5),
        "mean 0, deviation 1e-3": 1e-3 * torch.randn(13, 7, 5),
    }
    x = torch.stack(list(channels.values()), dim=1)
    columns = x.double().transpose(0, 1).flatten(1)
    mean = columns.mean(1)
    # The mean of equal numbers is that number, which a rounded sum over a count may miss.
    constant = (columns == columns[:, :1]).all(1)
    mean = torch.where(constant, columns[:, 0], mean)
    variance = (columns - mean[:, None]).square().mean(1)
    return {"x": x, "mean": mean, "variance": variance}, {"channels": json.dumps(list(channels))}


# MARK: Cases

CASES = {
    "linear": lambda: linear(5, 7, 3),
    "linear-no-bias": lambda: linear(5, 20, 17, bias=False),
    "linear-one-sample": lambda: linear(1, 33, 10),

    "convolution": lambda: convolution((5, 3, 7, 5), 5, 3, padding=1),
    "convolution-bias": lambda: convolution((5, 5, 7, 5), 3, 3, padding=1, bias=True),
    "convolution-no-padding": lambda: convolution((3, 3, 7, 5), 16, 3),
    "convolution-16": lambda: convolution((2, 16, 5, 7), 16, 3, padding=1),
    "convolution-20": lambda: convolution((2, 20, 5, 3), 17, 3, padding=1, bias=True),
    "convolution-stride2": lambda: convolution((3, 16, 7, 5), 10, 3, stride=2, padding=1),
    "convolution-1x1": lambda: convolution((3, 16, 7, 5), 5, 1),
    "convolution-1x1-stride2": lambda: convolution((5, 3, 7, 5), 20, 1, stride=2, bias=True),
    "convolution-5x5": lambda: convolution((5, 3, 7, 5), 5, 5, padding=2, bias=True),
    "convolution-7x7-stride2": lambda: convolution((2, 3, 11, 9), 16, 7, stride=2, padding=3),
    "convolution-dilation2": lambda: convolution((3, 5, 9, 7), 3, 3, padding=2, dilation=2, bias=True),
    "convolution-groups": lambda: convolution((3, 6, 7, 5), 10, 3, padding=1, groups=2, bias=True),
    "convolution-depthwise": lambda: convolution((5, 5, 7, 5), 5, 3, padding=1, groups=5),
    "convolution-depthwise-16": lambda: convolution((3, 16, 7, 5), 16, 3, stride=2, padding=1, groups=16, bias=True),
    "convolution-even-kernel": lambda: convolution((5, 3, 7, 5), 5, 2, bias=True),
    "convolution-even-kernel-stride2": lambda: convolution((5, 3, 7, 5), 5, 4, stride=2, padding=1),

    "batch-norm-1d": lambda: batch_norm(5, 7),
    "batch-norm-1d-20": lambda: batch_norm(7, 20, momentum=0.3),
    "batch-norm-1d-evaluation": lambda: batch_norm(5, 7, training=False),
    "batch-norm-2d": lambda: batch_norm(5, 3, 7, 5),
    "batch-norm-2d-20": lambda: batch_norm(2, 20, 5, 3),
    "batch-norm-2d-one-sample": lambda: batch_norm(1, 3, 7, 5),
    "batch-norm-2d-epsilon": lambda: batch_norm(5, 3, 7, 5, epsilon=0.1, momentum=1.0),
    "batch-norm-2d-momentum-none": lambda: batch_norm(5, 3, 7, 5, momentum=None, calls=2),
    "batch-norm-2d-no-affine": lambda: batch_norm(5, 3, 7, 5, affine=False),
    "batch-norm-2d-evaluation": lambda: batch_norm(5, 3, 7, 5, training=False),

    "group-norm": lambda: group_norm(3, 5, 6, 7, 5),
    "group-norm-1d": lambda: group_norm(4, 5, 12),
    "group-norm-20": lambda: group_norm(4, 3, 20, 5, 3),
    "group-norm-32": lambda: group_norm(2, 2, 32, 3, 5, epsilon=0.1),
    "group-norm-instance": lambda: group_norm(5, 3, 5, 7, 5),
    "group-norm-no-affine": lambda: group_norm(2, 5, 6, 7, 5, affine=False),
    "layer-norm": lambda: layer_norm(5, 3, 7, 5),
    "layer-norm-1d": lambda: layer_norm(5, 7),
    "layer-norm-1d-20": lambda: layer_norm(7, 20, epsilon=0.1),
    "layer-norm-20": lambda: layer_norm(3, 20, 5, 3),
    "layer-norm-no-affine": lambda: layer_norm(5, 3, 7, 5, affine=False),

    "relu": lambda: layer(nn.ReLU(), distinct(5, 3, 7, 5)),
    "sigmoid": lambda: layer(nn.Sigmoid(), 2 * torch.randn(5, 3, 7, 5)),
    "tanh": lambda: layer(nn.Tanh(), 2 * torch.randn(5, 3, 7, 5)),

    "max-pool": lambda: pool(nn.MaxPool2d, 2, 2, 0, 5, 3, 7, 5),
    "max-pool-3": lambda: pool(nn.MaxPool2d, 3, 2, 1, 5, 3, 7, 5),
    "max-pool-20": lambda: pool(nn.MaxPool2d, 3, 2, 1, 2, 20, 6, 5),
    "average-pool": lambda: pool(nn.AvgPool2d, 2, 2, 0, 5, 3, 7, 5, countIncludePad=True),
    "average-pool-3": lambda: pool(nn.AvgPool2d, 3, 2, 1, 5, 3, 7, 5, countIncludePad=True),
    "average-pool-3-without-padding": lambda: pool(nn.AvgPool2d, 3, 2, 1, 5, 3, 7, 5, countIncludePad=False),
    "global-average-pool": lambda: layer(nn.AdaptiveAvgPool2d(1), torch.randn(5, 3, 7, 5), outputSize=1),
    "global-average-pool-20": lambda: layer(nn.AdaptiveAvgPool2d(1), torch.randn(3, 20, 5, 3), outputSize=1),

    "flatten": lambda: layer(nn.Flatten(), torch.randn(2, 3, 4, 5)),
    "flatten-20": lambda: layer(nn.Flatten(), torch.randn(2, 20, 3, 2)),
    "basic-block": basic_block,
    "cross-entropy": lambda: cross_entropy(0.0),
    "cross-entropy-smoothing": lambda: cross_entropy(0.1),
    "moments": moments,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs from its case")
    arguments = parser.parse_args()
    different = []
    for name, case in CASES.items():
        torch.manual_seed(zlib.crc32(name.encode()))
        data, path = encode(*case()), FOLDER / f"{name}.safetensors"
        if not arguments.check:
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            different.append(path.name)
    strays = {path.stem for path in FOLDER.glob("*.safetensors")} - set(CASES)
    if different or strays:
        sys.exit(f"different: {' '.join(different) or 'none'}; of no case: {' '.join(sorted(strays)) or 'none'}")
    print(f"{len(CASES)} cases {'match' if arguments.check else 'written'}")


if __name__ == "__main__":
    main()
