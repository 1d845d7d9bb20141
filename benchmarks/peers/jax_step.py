"""Measures how fast JAX trains a Flax model in one process, on one XLA device or on several.

Prints one line of JSON, as pytorch_step.py does. XLA takes a thread for each CPU of the process (`taskset` narrows
them). One device spreads every operation over all threads. Several devices each train on their own samples, with
gradients averaged and batch norm synchronized over all (`BatchNorm(axis_name=...)`): normalized by the statistics of
the whole batch, as on one device. Before the clock starts it is verified that

  - two steps on all devices end, in float64, where they end on one device (verified_distance);
  - steps on one batch, repeated, make its loss fall (verified_losses: the first and the last).

Several devices on as few threads can wait for each other for ever in an all-reduce, in runs of many short steps: XLA
then ends the process after 40 s. So compare.py takes one device.

    python jax_step.py --model resnet20 --batch 128 --devices 2
    python jax_step.py --model mlp --shape 1x28x28 --batch 64 --steps 2000
"""

import json
import math
import os
from functools import partial

import flax
import jax
import numpy
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jax_models import make
from measurement import block_throughputs, make_batches, parse, parser, peak_memory_bytes, report

AXIS = "data"
REPLICATED, SPLIT = PartitionSpec(), PartitionSpec(AXIS)
REPEATED_STEPS = 5


class Training:
    """A model in training on the first `count` devices: its state, and the step."""

    def __init__(self, name, shape, classes, count, dtype=numpy.float32):
        channels, height, width = shape
        model = make(name, classes, AXIS)
        optimizer = optax.sgd(0.01, momentum=0.9)
        self.mesh = jax.make_mesh((count,), (AXIS,), devices=jax.devices()[:count])
        variables = model.init(jax.random.key(0), numpy.zeros((2, height, width, channels), dtype))
        variables = jax.tree.map(lambda tensor: tensor.astype(dtype), variables)
        state = variables["params"], variables["batch_stats"], optimizer.init(variables["params"])
        self.state = jax.device_put(state, NamedSharding(self.mesh, REPLICATED))

        # The old state's memory becomes the new one's.
        @partial(jax.jit, donate_argnums=0)
        @partial(jax.shard_map, mesh=self.mesh, in_specs=(REPLICATED, SPLIT, SPLIT), out_specs=REPLICATED)
        def train(state, x, y):
            parameters, statistics, momenta = state

            def loss_of(parameters):
                logits, updated = model.apply({"params": parameters, "batch_stats": statistics}, x,
                                              mutable=["batch_stats"])
                losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
                # Replicated parameters and a replicated loss: the gradient is summed over the devices by itself.
                return jax.lax.pmean(losses.mean(), AXIS), updated["batch_stats"]

            (loss, statistics), gradient = jax.value_and_grad(loss_of, has_aux=True)(parameters)
            updates, momenta = optimizer.update(gradient, momenta)
            return (optax.apply_updates(parameters, updates), statistics, momenta), loss

        self.train = train

    def place(self, x, y):
        """A batch on its devices; x: [N, C, H, W], which becomes Flax's [N, H, W, C]."""
        batch = numpy.ascontiguousarray(x.transpose(0, 2, 3, 1)), y.astype(numpy.int32)
        return jax.device_put(batch, NamedSharding(self.mesh, SPLIT))

    def step(self, x, y):
        self.state, loss = self.train(self.state, x, y)
        return loss

    def wait(self):
        jax.block_until_ready(self.state)


def verified_distance(devices):
    """How far two steps on all devices end from two steps on one."""
    generator = numpy.random.default_rng(0)
    x, y = generator.standard_normal((4 * devices, 3, 8, 8)), generator.integers(10, size=4 * devices)
    ends = []
    with jax.enable_x64(True):
        for count in (1, devices):
            training = Training("mlp:8,8", (3, 8, 8), 10, count, numpy.float64)
            for _ in range(2):
                training.step(*training.place(x, y))
            leaves = jax.tree.leaves(jax.device_get(training.state))
            ends.append(numpy.concatenate([leaf.ravel() for leaf in leaves]))
    whole, split = ends
    # Of all tensors together: alone, a bias that batch norm cancels is nothing but rounding.
    return float(numpy.linalg.norm(split - whole) / numpy.linalg.norm(whole))


def verified_losses(training, batch):
    """The first and the last loss of some steps on the same batch."""
    losses = [training.step(*batch).item() for _ in range(REPEATED_STEPS)]
    return losses[0], losses[-1]


def main():
    options = parser(__doc__)
    options.add_argument("--devices", type=int, default=1, metavar="N",
                         help="XLA's devices, each a share of this process's CPUs (default: %(default)s)")
    arguments = parse(options)
    if arguments.devices < 1 or arguments.batch % arguments.devices != 0:
        options.error("--batch must be a multiple of --devices")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", arguments.devices)
    # Several devices are faster with one step under way at a time.
    jax.config.update("jax_cpu_enable_async_dispatch", arguments.devices == 1)

    more = {"cpus": len(os.sched_getaffinity(0))}
    if arguments.devices > 1:
        more["verified_distance"] = verified_distance(arguments.devices)
        if not more["verified_distance"] < 1e-8:
            raise SystemExit(f"training on {arguments.devices} devices is wrong:"
                             f" {more['verified_distance']:.1e} from one device's")

    training = Training(arguments.model, arguments.shape, arguments.classes, arguments.devices)
    batches = [training.place(x, y) for x, y in make_batches(arguments, arguments.batch)]
    first, last = more["verified_losses"] = verified_losses(training, batches[0])
    if not (math.isfinite(last) and last < first):
        raise SystemExit(f"the loss of a repeated batch went from {first} to {last}: these steps are not worth timing")

    throughputs = block_throughputs(arguments, batches, training.step, training.wait)
    versions = {"jax": jax.__version__, "flax": flax.__version__}
    print(json.dumps(report(arguments, throughputs, peak_memory_bytes(), versions, **more)))


if __name__ == "__main__":
    main()
