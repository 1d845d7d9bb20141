"""The PyTorch twins of Lockstep's models: the same structure, the same parameter names.

    from models import make
    model = make("resnet20", shape=(3, 32, 32), classes=10)

Run as a program it lists a model's tensors:

    python models.py resnet20 --shape 3x32x32 --classes 10
"""

import argparse

import torch
from torch import nn

from architectures import CIFAR_RESNET, NAMES, RESNET, VGG, parse_shape, unknown


def make(name, shape=(3, 32, 32), classes=10):
    """The model of that name for samples of `shape` (C, H, W)."""
    if name == "mlp":
        return mlp(shape, classes, [100, 100, 100], nn.Sigmoid)
    if name.startswith("mlp:"):
        return mlp(shape, classes, [int(width) for width in name[4:].split(",")], nn.ReLU)
    if name in VGG:
        return CifarVGG(VGG[name], shape, classes)
    if name in CIFAR_RESNET:
        return CifarResNet(CIFAR_RESNET[name], shape, classes)
    if name in RESNET:
        return ResNet(Bottleneck if name == "resnet50" else BasicBlock, RESNET[name], shape, classes)
    raise unknown(name)


def mlp(shape, classes, widths, activation):
    """[Linear, batch norm, activation] for each width, then a linear classifier."""
    layers = [nn.Flatten()]
    features = shape[0] * shape[1] * shape[2]
    for width in widths:
        layers += [nn.Linear(features, width), nn.BatchNorm1d(width), activation()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def initialize(model):
    """Normal convolution weights of variance 2 / fan-out. He et al., arXiv:1502.01852, section 2.2."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class CifarVGG(nn.Module):
    """VGG with batch norm and, in place of its three large linear layers, one."""

    def __init__(self, configuration, shape, classes):
        super().__init__()
        channels, height, width = shape
        layers = []
        for item in configuration:
            if item == "M":
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            else:
                layers += [nn.Conv2d(channels, item, 3, padding=1, bias=False), nn.BatchNorm2d(item), nn.ReLU()]
                channels = item
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * height * width, classes)
        initialize(self)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def projection(inputs, outputs, stride):
    """The shortcut of a block that changes the shape; None where the identity serves."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. He et al., arXiv:1512.03385, figure 5, left."""

    expansion = 1

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut, with the stride in the 3x3 one (version 1.5)."""

    expansion = 4

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = projection(inputs, width * self.expansion, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def stage(block, inputs, width, count, stride):
    """`count` blocks, the first of which takes the stride."""
    blocks = [block(inputs, width, stride)]
    blocks += [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


class CifarResNet(nn.Module):
    """Three stages of `count` basic blocks on 16, 32 and 64 channels. arXiv:1512.03385, section 4.2."""

    def __init__(self, count, shape, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = stage(BasicBlock, 16, 16, count, 1)
        self.layer2 = stage(BasicBlock, 16, 32, count, 2)
        self.layer3 = stage(BasicBlock, 32, 64, count, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes)
        initialize(self)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


class ResNet(nn.Module):
    """The ImageNet form, with torchvision's structure and names. arXiv:1512.03385, table 1."""

    def __init__(self, block, counts, shape, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        expansion = block.expansion
        self.layer1 = stage(block, 64, 64, counts[0], 1)
        self.layer2 = stage(block, 64 * expansion, 128, counts[1], 2)
        self.layer3 = stage(block, 128 * expansion, 256, counts[2], 2)
        self.layer4 = stage(block, 256 * expansion, 512, counts[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * expansion, classes)
        initialize(self)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def main():
    parser = argparse.ArgumentParser(
        description="Lists the tensors of a model: name, shape, and the number of parameters at the end.")
    parser.add_argument("model", help=f"one of {', '.join(NAMES)}; mlp:64,32 is an MLP of these widths with ReLU")
    parser.add_argument("--shape", type=parse_shape, default=(3, 32, 32), metavar="CxHxW",
                        help="the shape of a sample (default: 3x32x32)")
    parser.add_argument("--classes", type=int, default=10, help="the number of classes (default: %(default)s)")
    arguments = parser.parse_args()
    model = make(arguments.model, arguments.shape, arguments.classes)
    for name, tensor in model.state_dict().items():
        print(f"{name:40} {list(tensor.shape)}")
    logits = model.eval()(torch.zeros(1, *arguments.shape))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, logits {list(logits.shape)}")


if __name__ == "__main__":
    main()
