"""What a model's name means to every framework: names, shapes, and tables of widths and depths."""

import argparse

NAMES = ("mlp", "mlp:A,B,...", "vgg11", "vgg16", "resnet18", "resnet20", "resnet50", "resnet56")

# Channels of VGG's convolutions; "M" is a max pool. Simonyan and Zisserman, arXiv:1409.1556, table 1, A and D.
VGG = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
}

# Blocks of each of the four stages. He et al., arXiv:1512.03385, table 1.
RESNET = {"resnet18": [2, 2, 2, 2], "resnet50": [3, 4, 6, 3]}

# Blocks of each of the three stages on 16, 32 and 64 channels: (layers - 2) / 6. arXiv:1512.03385, section 4.2.
CIFAR_RESNET = {"resnet20": 3, "resnet56": 9}


def unknown(name):
    return ValueError(f"no model is named {name!r}; there are {', '.join(NAMES)}")


def parse_shape(text):
    """'3x32x32' as (3, 32, 32)."""
    shape = tuple(int(extent) for extent in text.split("x"))
    if len(shape) != 3:
        raise argparse.ArgumentTypeError(f"a shape is CxHxW, for example 3x32x32, not {text!r}")
    return shape
