"""PyTorch's memory formats: the argument that chooses one, and batches converted to it."""

import torch


def add_layout(parser):
    parser.add_argument("--layout", choices=("channels_last", "contiguous"), default="channels_last",
                        help="the memory format; the better one depends on the model (default: %(default)s)")


def memory_format(arguments):
    return torch.channels_last if arguments.layout == "channels_last" else torch.contiguous_format


def convert(batches, arguments):
    """NumPy's batches as tensors in the layout asked for."""
    return [(torch.from_numpy(x).contiguous(memory_format=memory_format(arguments)), torch.from_numpy(y))
            for x, y in batches]
