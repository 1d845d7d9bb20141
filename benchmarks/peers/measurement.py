"""What the throughput programs share: their arguments, their data, and the timing of training steps."""

import argparse
import math
import platform
import statistics
import time

import numpy

from architectures import NAMES, parse_shape


def parser(description):
    """A parser with the arguments that describe the work and how long to measure it."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--model", default="resnet20", help=f"one of {', '.join(NAMES)} (default: %(default)s)")
    result.add_argument("--batch", type=int, default=128, metavar="N",
                        help="samples of one optimizer step, over all processes (default: %(default)s)")
    result.add_argument("--shape", type=parse_shape, default=(3, 32, 32), metavar="CxHxW",
                        help="the shape of a sample (default: 3x32x32)")
    result.add_argument("--classes", type=int, default=10, metavar="K", help="(default: %(default)s)")
    result.add_argument("--warmup", type=int, default=5, metavar="STEPS", help="untimed steps (default: %(default)s)")
    result.add_argument("--steps", type=int, default=30, metavar="STEPS", help="timed steps (default: %(default)s)")
    result.add_argument("--blocks", type=int, default=5, metavar="N",
                        help="the timed steps are timed in this many blocks (default: %(default)s)")
    return result


def parse(parser):
    """The arguments, checked."""
    arguments = parser.parse_args()
    if not 1 <= arguments.blocks <= arguments.steps:
        parser.error("--blocks must be at least 1 and at most --steps")
    return arguments


def make_batches(arguments, count, seed=0):
    """Four batches of random samples [N, C, H, W] and labels [N]: enough that none stays in the cache."""
    generator = numpy.random.default_rng(seed)
    return [(generator.standard_normal((count, *arguments.shape), dtype=numpy.float32),
             generator.integers(arguments.classes, size=count)) for _ in range(4)]


def block_throughputs(arguments, batches, step, barrier=lambda: None):
    """Images per second of each block; `step` trains on one batch and returns the loss.

    `barrier` returns when all steps so far have ended, in every process.
    """
    for index in range(arguments.warmup):
        step(*batches[index % len(batches)])
    steps = arguments.steps // arguments.blocks
    result = []
    for _ in range(arguments.blocks):
        barrier()
        start = time.perf_counter()
        for index in range(steps):
            loss = step(*batches[index % len(batches)])
        barrier()
        result.append(steps * arguments.batch / (time.perf_counter() - start))
    if not math.isfinite(loss.item()):
        raise SystemExit(f"the loss is {loss.item()}: these steps are not worth timing")
    return result


def peak_memory_bytes():
    """The process's largest resident set so far: VmHWM of /proc/self/status."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no VmHWM")


def report(arguments, throughputs, peak_bytes, versions, **more):
    """What is printed: the median, its spread, the peak of memory, versions and configuration."""
    median = statistics.median(throughputs)
    configuration = {name: list(value) if isinstance(value, tuple) else value
                     for name, value in vars(arguments).items()}
    return {
        "images_per_second": round(median, 1),
        "spread": round((max(throughputs) - min(throughputs)) / median, 4),
        "blocks_images_per_second": [round(value, 1) for value in throughputs],
        "peak_memory_bytes": peak_bytes,
        **more,
        "configuration": configuration,
        "versions": {**versions, "python": platform.python_version()},
    }
