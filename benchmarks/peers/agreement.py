"""Trains the same models by Lockstep and by PyTorch and compares what they learned.

Per case, data and initial parameters are made; PyTorch trains on whole batches in one process; Lockstep trains from the
same files on several ranks, threads and shards; and losses, parameters and running statistics are compared:

  first loss       within 1e-5, relative
  every loss       within 1e-3, relative
  every tensor     within 1e-3: ||a - b|| / ||b||, or ||a - b|| where b is 0
  its change       within 5e-2: ||a - b|| / ||b - initial||, for tensors that training moves; a tensor that is left
                   out of training misses this by far, though its value may hardly differ

Two correct float32 implementations drift apart wherever rounding flips a decision of a ReLU or a max pool: from
PyTorch's usual initial values, PyTorch in float32 and in float64 end 0.1 to 0.4 apart in some tensors. The initial
values `steady`, the default, keep batch norm's outputs about three deviations from 0, on either side, so that
decisions seldom flip and the bounds mean something. With `--initial standard` the usual values are taken, and
losses and tensors are allowed three times PyTorch's own distance between float32 and float64, where that is more.
"""

import argparse
import copy
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from models import make

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARDS, STEPS, LEARNING_RATE, MOMENTUM = 8, 10, 0.01, 0.9
FIRST_LOSS_BOUND, BOUND, CHANGE_BOUND = 1e-5, 1e-3, 5e-2


class Failure(Exception):
    """Lockstep did not run, or wrote something that cannot be compared."""


def make_data(model_name, batch):
    """Random samples and labels; the same for the same model and batch."""
    torch.manual_seed(zlib.crc32(f"{model_name} {batch}".encode()))
    shape = (1, 28, 28) if model_name.startswith("mlp") else (3, 32, 32)
    x = torch.randn(batch * STEPS, *shape)
    # A permutation of all labels in turn: every class occurs.
    y = (torch.arange(batch * STEPS) % 10)[torch.randperm(batch * STEPS)]
    return x, y


def read_data(path, batch):
    """The first samples and labels of a file, as many as the steps take."""
    tensors = load_file(path)
    count = batch * STEPS
    x, y = tensors["x"], tensors["y"].long()
    if x.dtype != torch.float32 or x.dim() != 4 or y.dim() != 1:
        sys.exit(f"{path}: expected x as float32 [N, C, H, W] and y as integers [N]")
    if min(len(x), len(y)) < count:
        sys.exit(f"{path}: {STEPS} steps of {batch} samples need {count} samples, found {min(len(x), len(y))}")
    return x[:count].contiguous(), y[:count].contiguous()


def make_steady(model):
    """Moves batch norm's outputs away from 0: up in three channels of four, down in the fourth."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                sign = 1 - 2 * (torch.arange(module.num_features) % 4 == 3).float()
                module.weight.uniform_(0.2, 0.4)
                module.bias.copy_(sign + 0.05 * torch.randn(module.num_features))


def train_pytorch(model, x, y, batch, dtype):
    """The losses, and the model's tensors after training in order, without shuffling."""
    model = copy.deepcopy(model).to(dtype).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    losses = []
    for samples, labels in zip(x.to(dtype).split(batch), y.split(batch)):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(samples), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


def train_lockstep(arguments, model_name, batch, folder):
    """The losses, and the model's tensors as Lockstep saved them."""
    ranks, threads = arguments.layout
    command = ["mpirun", "--oversubscribe", "-np", str(ranks), "--bind-to", "none"]
    if os.geteuid() == 0:
        command += ["--allow-run-as-root"]
    command += [str(arguments.lockstep), "train", "--model", model_name]
    command += ["--dataset", "tensors", "--data", str(folder / "data.safetensors")]
    command += ["--batch-size", str(batch), "--shards", str(SHARDS), "--threads", str(threads)]
    command += ["--steps", str(STEPS), "--learning-rate", str(LEARNING_RATE), "--momentum", str(MOMENTUM)]
    command += ["--no-shuffle", "--init", str(folder / "init.safetensors")]
    command += ["--save", str(folder / "out.safetensors"), "--metrics", str(folder / "metrics.jsonl")]
    (folder / "command.txt").write_text(" ".join(command) + "\n")
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"lockstep did not end within {arguments.timeout} s")
    except OSError as error:
        raise Failure(f"mpirun did not start: {error}")
    (folder / "log.txt").write_text(run.stdout + run.stderr)
    if run.returncode != 0:
        raise Failure(f"lockstep ended with {run.returncode}:\n" + (run.stdout + run.stderr)[-2000:])
    try:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines() if line.strip()]
        losses = [line["loss"] for line in lines if "loss" in line and "step" in line]
        tensors = load_file(folder / "out.safetensors")
    except Exception as error:
        raise Failure(f"lockstep's output cannot be read: {error}")
    if len(losses) != STEPS:
        raise Failure(f"metrics.jsonl has {len(losses)} losses, expected {STEPS}")
    return losses, tensors


def distance(a, b, scale):
    """||a - b|| / ||scale||, or ||a - b|| where the scale is 0; infinite where it is not a number."""
    difference = torch.linalg.vector_norm(a.double() - b.double()).item()
    norm = torch.linalg.vector_norm(scale.double()).item()
    result = difference / norm if norm > 0 else difference
    return result if math.isfinite(result) else math.inf


def relative(a, b):
    """|a - b| / |b|; infinite where it is not a number."""
    result = abs(a - b) / abs(b)
    return result if math.isfinite(result) else math.inf


def compare(ours, theirs, initial):
    """Distances between two trainings: of the first loss, and the worst of all losses, tensors and changes."""
    (losses, tensors), (expected_losses, expected) = ours, theirs
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise Failure(f"out.safetensors lacks {', '.join(missing)}")
    values, changes = [], []
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise Failure(f"{name} has shape {list(tensors[name].shape)}, expected {list(tensor.shape)}")
        if not tensor.is_floating_point():
            if not torch.equal(tensors[name].long(), tensor.long()):
                raise Failure(f"{name} is {tensors[name].tolist()}, expected {tensor.tolist()}")
            continue
        values.append((distance(tensors[name], tensor, tensor), name))
        # A bias that batch norm cancels has a zero gradient: its change is rounding.
        change = tensor.double() - initial[name].double()
        if distance(tensor, initial[name], tensor) > 1e-5:
            changes.append((distance(tensors[name], tensor, change), name))
    return {
        "first loss": (relative(losses[0], expected_losses[0]), "step 1"),
        "every loss": max((relative(a, b), f"step {step}") for step, (a, b)
                          in enumerate(zip(losses, expected_losses), start=1)),
        "every tensor": max(values),
        "its change": max(changes),
    }


def check(arguments, model_name, batch, folder):
    """Runs one case and prints its rows; the list of what failed."""
    x, y = read_data(arguments.data, batch) if arguments.data else make_data(model_name, batch)
    torch.manual_seed(zlib.crc32(model_name.encode()))
    model = make(model_name, tuple(x.shape[1:]), int(y.max()) + 1)
    if arguments.initial == "steady":
        make_steady(model)
    initial = model.state_dict()
    save_file({"x": x, "y": y}, folder / "data.safetensors")
    save_file(initial, folder / "init.safetensors")

    pytorch = train_pytorch(model, x, y, batch, torch.float32)
    yardstick = None
    if arguments.yardstick:
        yardstick = compare(pytorch, train_pytorch(model, x, y, batch, torch.float64), initial)

    try:
        measured = compare(train_lockstep(arguments, model_name, batch, folder), pytorch, initial)
    except Failure as failure:
        print(f"{model_name:10} {batch:5}  FAILED: {failure}")
        return [f"{model_name}, batch {batch}: {failure}"]

    failures = []
    bounds = {"first loss": FIRST_LOSS_BOUND, "every loss": BOUND, "every tensor": BOUND, "its change": CHANGE_BOUND}
    for quantity, bound in bounds.items():
        value, where = measured[quantity]
        if arguments.initial == "standard" and quantity != "first loss":
            bound = max(bound, 3 * yardstick[quantity][0])
        fails = value > bound
        row = f"{model_name:10} {batch:5}  {quantity:12} {value:8.1e} {bound:8.1e}  {'FAILED' if fails else 'ok':6}"
        if yardstick:
            row += f"  {yardstick[quantity][0]:8.1e}"
        print(f"{row}  {where}", flush=True)
        if fails:
            failures.append(f"{model_name}, batch {batch}: {quantity} differs by {value:.1e} at {where},"
                            f" the bound is {bound:.1e}")
    return failures


def parse_layout(text):
    """'2x2' as (2, 2)."""
    try:
        ranks, threads = (int(count) for count in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a layout is RANKSxTHREADS, for example 2x2, not {text!r}")
    return ranks, threads


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 if all agrees, 1 if something does not, with what failed listed at the end.")
    parser.add_argument("--lockstep", type=pathlib.Path, default=ROOT / ".build/release/lockstep", metavar="PATH",
                        help="the program (default: .build/release/lockstep of this project)")
    parser.add_argument("--layout", type=parse_layout, default=(2, 2), metavar="RANKSxTHREADS",
                        help="how Lockstep is run (default: 2x2)")
    parser.add_argument("--models", nargs="+", default=["mlp", "vgg11", "resnet20"], metavar="MODEL",
                        help="the models to compare (default: mlp vgg11 resnet20)")
    parser.add_argument("--batches", nargs="+", type=int, default=[96, 50], metavar="N",
                        help=f"the batch sizes, each split into {SHARDS} shards (default: 96 50)")
    parser.add_argument("--data", metavar="FILE",
                        help="a safetensors file with x [N, C, H, W] and y [N] in place of random samples")
    parser.add_argument("--initial", choices=("steady", "standard"), default="steady",
                        help="the initial values of batch norm, see above (default: %(default)s)")
    parser.add_argument("--yardstick", action="store_true",
                        help="also show how far PyTorch's float32 is from its float64; `standard` implies it")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR",
                        help="keep each case's files, command and log in DIR/MODEL-BATCH")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS",
                        help="for one run of Lockstep (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.yardstick = arguments.yardstick or arguments.initial == "standard"
    if not arguments.lockstep.exists():
        parser.error(f"there is no program at {arguments.lockstep}; build it, or pass --lockstep PATH")
    arguments.lockstep = arguments.lockstep.resolve()

    print(f"{'model':10} {'batch':>5}  {'quantity':12} {'distance':>8} {'bound':>8}  {'':6}"
          + (f"  {'float64':>8}" if arguments.yardstick else "") + "  worst at")
    failures = []
    for model_name in arguments.models:
        for batch in arguments.batches:
            with tempfile.TemporaryDirectory(prefix="lockstep-agreement-") as temporary:
                folder = pathlib.Path(temporary)
                if arguments.keep:
                    folder = arguments.keep.resolve() / f"{model_name.replace(':', '-')}-{batch}"
                    folder.mkdir(parents=True, exist_ok=True)
                    # What an earlier run left must not pass for this one's.
                    for name in ("out.safetensors", "metrics.jsonl"):
                        (folder / name).unlink(missing_ok=True)
                failures += check(arguments, model_name, batch, folder)
    if failures:
        print(f"\n{len(failures)} of the comparisons FAILED:")
        for failure in failures:
            print(f"  {failure}")
        sys.exit(1)
    ranks, threads = arguments.layout
    print(f"\nLockstep on {ranks} ranks x {threads} threads agrees with PyTorch {torch.__version__}.")


if __name__ == "__main__":
    main()
