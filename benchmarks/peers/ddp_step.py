"""Measures how fast PyTorch trains with DistributedDataParallel over gloo: N processes of one thread each.

Prints one line of JSON, as pytorch_step.py does; peak_memory_bytes is the sum over the processes. Batch norm sees each
process's own samples; with --sync-bn it sees the whole batch, and before the clock starts it is verified: two steps on
an uneven split must end, in float64, where one process ends that trains on whole batches (verified_distance).

    python ddp_step.py --model resnet20 --batch 128 --processes 2
    python ddp_step.py --model resnet20 --batch 128 --processes 2 --sync-bn
"""

import json
import os
import tempfile

import torch
from torch import distributed, multiprocessing
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from measurement import block_throughputs, make_batches, parse, parser, peak_memory_bytes, report
from memory_format import add_layout, convert, memory_format
from models import make
from sync_batch_norm import synchronize


def share(batch, rank, processes):
    """The run of the batch's samples that a rank has; runs differ by one sample where the batch does not divide."""
    return slice(batch * rank // processes, batch * (rank + 1) // processes)


def make_step(model, batch, scale):
    """One optimizer step. The loss is the mean over the whole batch, times `scale`."""
    # The fused kernel is the fastest of PyTorch's three.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(x), y, reduction="sum") * (scale / batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def distribute(model):
    # Buffers need no broadcast in forward: they are either each process's own or already equal.
    return DistributedDataParallel(model, forward_sync_buffers=False, gradient_as_bucket_view=True)


def verified_distance(rank, processes):
    """How far synchronized training on an uneven split ends from one process's on whole batches."""
    batch = 2 * processes + 1
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(make("resnet20", (3, 8, 8), 10).double())
    whole, split = models
    split = synchronize(split)
    step_whole = make_step(whole, batch, 1)
    step_split = make_step(distribute(split), batch, processes)
    mine = share(batch, rank, processes)
    for _ in range(2):
        x, y = torch.randn(batch, 3, 8, 8, dtype=torch.float64), torch.randint(10, (batch,))
        step_whole(x, y)
        step_split(x[mine], y[mine])
    expected = whole.state_dict()
    return max((torch.linalg.vector_norm(tensor.double() - expected[name].double())
                / torch.linalg.vector_norm(expected[name].double())).item()
               for name, tensor in split.state_dict().items())


def run(rank, arguments, rendezvous):
    processes = arguments.processes
    torch.set_num_threads(1)
    # Denormal numbers, where they occur, are many times slower than others.
    torch.set_flush_denormal(True)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=processes)
    more = {}
    if arguments.sync_bn:
        more["verified_distance"] = verified_distance(rank, processes)
        if not more["verified_distance"] < 1e-8:
            raise SystemExit(f"synchronized batch norm is wrong: {more['verified_distance']:.1e} from one process's")

    torch.manual_seed(0)
    model = make(arguments.model, arguments.shape, arguments.classes)
    if arguments.sync_bn:
        model = synchronize(model)
    model = distribute(model.to(memory_format=memory_format(arguments)))
    mine = share(arguments.batch, rank, processes)
    batches = convert(make_batches(arguments, mine.stop - mine.start, seed=rank), arguments)
    # DistributedDataParallel divides the sum of gradients by the number of processes: undone here.
    step = make_step(model, arguments.batch, processes)
    throughputs = block_throughputs(arguments, batches, step, distributed.barrier)
    peak = torch.tensor(peak_memory_bytes())
    distributed.all_reduce(peak)
    if rank == 0:
        versions = {"torch": torch.__version__}
        print(json.dumps(report(arguments, throughputs, peak.item(), versions, **more)), flush=True)
    # Not destroy_process_group: gloo's threads sometimes abort the process at its end, and nothing is left to be done.
    distributed.barrier()
    os._exit(0)


def main():
    options = parser(__doc__)
    add_layout(options)
    options.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                         help="processes (default: the CPUs of this process, %(default)s)")
    options.add_argument("--sync-bn", action="store_true",
                         help="batch norm over the whole batch, by sync_batch_norm.py")
    arguments = parse(options)
    if arguments.batch < 2 * arguments.processes:
        options.error("--batch must give every process at least 2 samples")
    # All processes are on this machine.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(run, (arguments, os.path.join(folder, "rendezvous")), arguments.processes)


if __name__ == "__main__":
    main()
