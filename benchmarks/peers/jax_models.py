"""The Flax twins of Lockstep's models: the structure of models.py, on samples as Flax has them, [N, H, W, C].

    from jax_models import make
    model = make("resnet20", classes=10, axis_name="data")

Batch norm takes its statistics over all devices along `axis_name`. The models are for training: they always normalize
by the batch's statistics.
"""

from collections.abc import Callable
from functools import partial

from flax import linen as nn

from architectures import CIFAR_RESNET, RESNET, VGG, unknown


def make(name, classes=10, axis_name=None):
    """The model of that name."""
    # Flax's momentum is the share of the running statistics that stays: PyTorch's is 1 less it.
    norm = partial(nn.BatchNorm, use_running_average=False, momentum=0.9, epsilon=1e-5, axis_name=axis_name)
    if name == "mlp":
        return MLP([100, 100, 100], nn.sigmoid, classes, norm)
    if name.startswith("mlp:"):
        return MLP([int(width) for width in name[4:].split(",")], nn.relu, classes, norm)
    if name in VGG:
        return CifarVGG(VGG[name], classes, norm)
    if name in CIFAR_RESNET:
        return CifarResNet(CIFAR_RESNET[name], classes, norm)
    if name in RESNET:
        return ResNet(Bottleneck if name == "resnet50" else BasicBlock, RESNET[name], classes, norm)
    raise unknown(name)


def convolution(channels, kernel, stride=1):
    """Normal weights of variance 2 / fan-out. He et al., arXiv:1502.01852, section 2.2."""
    # Padding "SAME" would place the windows of stride 2 one pixel off PyTorch's.
    return nn.Conv(channels, (kernel, kernel), stride, padding=kernel // 2, use_bias=False,
                   kernel_init=nn.initializers.variance_scaling(2, "fan_out", "normal"))


class MLP(nn.Module):
    """[Linear, batch norm, activation] for each width, then a linear classifier."""

    widths: list
    activation: Callable
    classes: int
    norm: Callable

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        for width in self.widths:
            x = self.activation(self.norm()(nn.Dense(width)(x)))
        return nn.Dense(self.classes)(x)


class CifarVGG(nn.Module):
    """VGG with batch norm and, in place of its three large linear layers, one."""

    configuration: list
    classes: int
    norm: Callable

    @nn.compact
    def __call__(self, x):
        for item in self.configuration:
            if item == "M":
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            else:
                x = nn.relu(self.norm()(convolution(item, 3)(x)))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


def shortcut(x, channels, stride, norm):
    """The identity, or a projection where a block changes the shape."""
    if stride == 1 and x.shape[-1] == channels:
        return x
    return norm()(convolution(channels, 1, stride)(x))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. He et al., arXiv:1512.03385, figure 5, left."""

    width: int
    stride: int
    norm: Callable

    @nn.compact
    def __call__(self, x):
        y = nn.relu(self.norm()(convolution(self.width, 3, self.stride)(x)))
        y = self.norm()(convolution(self.width, 3)(y))
        return nn.relu(y + shortcut(x, self.width, self.stride, self.norm))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut, with the stride in the 3x3 one (version 1.5)."""

    width: int
    stride: int
    norm: Callable

    @nn.compact
    def __call__(self, x):
        y = nn.relu(self.norm()(convolution(self.width, 1)(x)))
        y = nn.relu(self.norm()(convolution(self.width, 3, self.stride)(y)))
        y = self.norm()(convolution(4 * self.width, 1)(y))
        return nn.relu(y + shortcut(x, 4 * self.width, self.stride, self.norm))


def stage(x, block, width, count, stride, norm):
    """`count` blocks, the first of which takes the stride."""
    for index in range(count):
        x = block(width, stride if index == 0 else 1, norm)(x)
    return x


class CifarResNet(nn.Module):
    """Three stages of `count` basic blocks on 16, 32 and 64 channels. arXiv:1512.03385, section 4.2."""

    count: int
    classes: int
    norm: Callable

    @nn.compact
    def __call__(self, x):
        x = nn.relu(self.norm()(convolution(16, 3)(x)))
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            x = stage(x, BasicBlock, width, self.count, stride, self.norm)
        return nn.Dense(self.classes)(x.mean((1, 2)))


class ResNet(nn.Module):
    """The ImageNet form. arXiv:1512.03385, table 1."""

    block: type
    counts: list
    classes: int
    norm: Callable

    @nn.compact
    def __call__(self, x):
        x = nn.relu(self.norm()(convolution(64, 7, 2)(x)))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for width, stride, count in zip((64, 128, 256, 512), (1, 2, 2, 2), self.counts):
            x = stage(x, self.block, width, count, stride, self.norm)
        return nn.Dense(self.classes)(x.mean((1, 2)))
