"""Measures how fast PyTorch trains in one process.

Prints one line of JSON: images_per_second (the median of the blocks' throughputs), spread ((max - min) / median),
peak_memory_bytes (VmHWM), the configuration and the versions. Samples are random, and made before the clock starts.

    python pytorch_step.py --model resnet20 --batch 128 --threads 2
    python pytorch_step.py --model vgg11 --batch 128 --threads 2 --layout contiguous --compile
    python pytorch_step.py --model mlp --shape 1x28x28 --batch 64 --threads 2 --steps 2000

Which layout is faster, and whether compiling pays, depends on the model: compare, and quote the best.
"""

import contextlib
import json
import os

import torch
from torch.nn import functional

from measurement import block_throughputs, make_batches, parse, parser, peak_memory_bytes, report
from memory_format import add_layout, convert, memory_format
from models import make


def main():
    options = parser(__doc__)
    add_layout(options)
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                         help="computing threads (default: the CPUs of this process, %(default)s)")
    options.add_argument("--compile", action="store_true", help="torch.compile the model; needs a C++ compiler")
    options.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32",
                         help="bf16 is autocast (default: %(default)s)")
    arguments = parse(options)

    torch.set_num_threads(arguments.threads)
    # Denormal numbers, where they occur, are many times slower than others.
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    model = make(arguments.model, arguments.shape, arguments.classes).to(memory_format=memory_format(arguments))
    # The fused kernel is the fastest of PyTorch's three.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    forward = torch.compile(model) if arguments.compile else model

    def autocast():
        if arguments.dtype == "bf16":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = functional.cross_entropy(forward(x), y)
        loss.backward()
        optimizer.step()
        return loss

    batches = convert(make_batches(arguments, arguments.batch), arguments)
    throughputs = block_throughputs(arguments, batches, step)
    print(json.dumps(report(arguments, throughputs, peak_memory_bytes(), {"torch": torch.__version__})))


if __name__ == "__main__":
    main()
