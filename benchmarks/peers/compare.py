"""Measures Lockstep against PyTorch and JAX, alternating in one run: every round measures each contestant once.

Prints a table as it goes, and writes a JSON line per contestant, and at the end a chart:

    python compare.py                                    everything: more than an hour on two cores
    python compare.py --sections step --models resnet20  one comparison
    python compare.py --output benchmarks/results        also write peers.jsonl and peers.svg there

Sections:
  step     training steps on all CPUs of one process, fp32: PyTorch in either memory format, eager or compiled: the two
           that a first run shows to be fastest take part, and the faster one counts; images per second, and the peak of
           memory
  bf16     the same in bf16: PyTorch's autocast, chosen in the same way, and PyTorch and Lockstep in fp32
  ranks    2 ranks of one thread: sync batch norm against DDP with a hand-made one, against DDP with local batch norm, and
           against JAX on one XLA device of 2 CPUs, where batch norm is over the whole batch (not for images of 224x224)
  sync     what sync costs over local batch norm, on 1 x 2 and 2 x 1 (ranks x threads)
  scaling  two workers against one, beside two independent runs of one worker at once: the machine's own limit
  shards   the default number of shards against others
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version

from chart import bars

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# model: batch, shape, PyTorch's and JAX's timed steps, Lockstep's
WORK = {
    "mlp": (64, (1, 28, 28), 2000, 3000),
    "resnet20": (128, (3, 32, 32), 12, 16),
    "vgg11": (128, (3, 32, 32), 6, 8),
    "resnet18": (32, (3, 224, 224), 3, 5),
    "resnet50": (16, (3, 224, 224), 3, 4),
}

SECTIONS = ["step", "bf16", "ranks", "sync", "scaling", "shards"]

# Measured with JAX; not the large images, as XLA's convolutions on CPUs are slow.
JAX_MODELS = ("mlp", "resnet20", "vgg11")


def run(command, environment=None):
    """A command's standard output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE,
                               env={**os.environ, **(environment or {})})
    output, errors = process.communicate(timeout=1800)
    if process.returncode != 0:
        raise SystemExit(f"compare.py: {' '.join(map(str, command))} failed:\n{errors[-2000:]}")
    return output


def cpu_facts(name):
    """What the system says of the first processor under that name."""
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "unknown")


def pytorch(model, threads, layout, compiled, dtype="fp32"):
    batch, shape, steps, _ = WORK[model]
    # Without bf16 instructions in the processor, PyTorch's step takes seconds.
    is_slow = dtype == "bf16" and "avx512_bf16" not in cpu_facts("flags").split()
    steps, warmup = (max(3, steps // 10), 1) if is_slow else (steps, 3)
    command = [sys.executable, "pytorch_step.py", "--model", model, "--batch", str(batch),
               "--shape", "x".join(map(str, shape)), "--threads", str(threads), "--layout", layout, "--dtype", dtype,
               "--steps", str(steps), "--blocks", "3", "--warmup", str(warmup)] + (["--compile"] if compiled else [])
    return lambda: json.loads(run(command).splitlines()[-1])


def ddp(model, sync):
    batch, shape, steps, _ = WORK[model]
    command = [sys.executable, "ddp_step.py", "--model", model, "--batch", str(batch),
               "--shape", "x".join(map(str, shape)), "--processes", "2", "--steps", str(steps), "--blocks", "3"]
    return lambda: json.loads(run(command + (["--sync-bn"] if sync else [])).splitlines()[-1])


def jax(model):
    """One XLA device, which takes a thread for each CPU it may use: as many as the two ranks have."""
    batch, shape, steps, _ = WORK[model]
    command = ["taskset", "-c", "0,1", sys.executable, "jax_step.py", "--model", model, "--batch", str(batch),
               "--shape", "x".join(map(str, shape)), "--steps", str(steps),
               "--blocks", "3", "--warmup", "3"]
    return lambda: json.loads(run(command).splitlines()[-1])


def lockstep(binary, model, ranks, threads, *more, cpus=None):
    batch, shape, _, steps = WORK[model]
    command = [binary, "bench", "step", "--json", "--model", model, "--batch-size", str(batch),
               "--shape", ",".join(map(str, shape)), "--threads", str(threads), "--steps", str(steps), *more]
    if ranks > 1:
        root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        command = ["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *command]
    if cpus is not None:
        command = ["taskset", "-c", cpus, *command]
    return lambda: json.loads(run(command))


def together(*measurements):
    """Two runs at once, their throughput added up."""
    def both():
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor() as pool:
            results = list(pool.map(lambda measure: measure(), measurements))
        return {"images_per_second": sum(result["images_per_second"] for result in results)}
    return both


def alternate(title, peers, others, rounds):
    """Measures all contestants in turn, several rounds; medians and spreads of images per second.

    Ratios are to the fastest of the peers, which comes first. A ratio is the median of the rounds' ratios: what slows the
    machine down for a while slows both sides of a round.
    """
    found = {name: [] for name in (*peers, *others)}
    for _ in range(rounds):
        for name, measure in {**peers, **others}.items():
            found[name].append(measure())
    rates_of = {name: [result["images_per_second"] for result in results] for name, results in found.items()}
    ranked = sorted(peers, key=lambda name: statistics.median(rates_of[name]), reverse=True)
    first = rates_of[ranked[0]]
    rows = []
    for name in (*ranked, *others):
        results, rates = found[name], rates_of[name]
        median = statistics.median(rates)
        memory = [result["peak_memory_bytes"] for result in results if "peak_memory_bytes" in result]
        rows.append({"comparison": title, "contestant": name, "images_per_second": round(median, 1),
                     "spread": round((max(rates) - min(rates)) / median, 3), "rounds": [round(rate, 1) for rate in rates],
                     "ratio_to_first": round(statistics.median(a / b for a, b in zip(rates, first)), 3),
                     **({"peak_memory_mib": round(max(memory) / 2**20)} if memory else {})})
        print(f"{title:30}  {name:34} {median:12,.1f} images/s  spread {rows[-1]['spread']:6.1%}"
              f"  {rows[-1]['ratio_to_first']:6.2f}x"
              + (f"  {rows[-1]['peak_memory_mib']:6,} MiB" if memory else ""), flush=True)
    return rows


def fast_pytorch(model, threads, dtype="fp32"):
    """PyTorch's two fastest configurations here, by one run of each: a single run is too noisy to tell them apart."""
    kind = "PyTorch" if dtype == "fp32" else f"PyTorch {dtype}"
    candidates = {f"{kind} {layout}{', compiled' if compiled else ''}": pytorch(model, threads, layout, compiled, dtype)
                  for layout in ("channels_last", "contiguous") for compiled in (False, True)}
    rates = {name: measure()["images_per_second"] for name, measure in candidates.items()}
    print(f"{model}: " + ", ".join(f"{name} {rate:,.1f}" for name, rate in rates.items()), flush=True)
    return {name: candidates[name] for name in sorted(rates, key=rates.get, reverse=True)[:2]}


def default_shards(model):
    """Lockstep's: one for every 16 samples, at least 4 and at most 8."""
    return max(4, min(8, WORK[model][0] // 16))


def sections(arguments):
    binary, rounds, cpus = arguments.lockstep, arguments.rounds, len(os.sched_getaffinity(0))
    for model in arguments.models:
        if "step" in arguments.sections:
            yield from alternate(
                f"{model}, 1 x {cpus}", fast_pytorch(model, cpus), {"Lockstep": lockstep(binary, model, 1, cpus)}, rounds)
        if "bf16" in arguments.sections:
            yield from alternate(f"{model}, bf16, 1 x {cpus}", fast_pytorch(model, cpus, "bf16"), {
                **fast_pytorch(model, cpus), "Lockstep fp32": lockstep(binary, model, 1, cpus),
                "Lockstep bf16": lockstep(binary, model, 1, cpus, "--precision", "bf16")}, rounds)
        if "ranks" in arguments.sections:
            yield from alternate(f"{model}, 2 x 1, sync", {"PyTorch DDP, hand-made sync": ddp(model, True)}, {
                "PyTorch DDP, local": ddp(model, False), **({"JAX, whole batch": jax(model)} if model in JAX_MODELS else {}),
                "Lockstep, sync": lockstep(binary, model, 2, 1)}, rounds)
        if "sync" in arguments.sections:
            for ranks, threads in ((1, 2), (2, 1)):
                yield from alternate(
                    f"{model}, cost of sync, {ranks} x {threads}",
                    {"local": lockstep(binary, model, ranks, threads, "--batch-norm", "local")},
                    {"sync": lockstep(binary, model, ranks, threads)}, rounds)
        if "scaling" in arguments.sections:
            apart = (lockstep(binary, model, 1, 1, cpus=str(cpu)) for cpu in (0, 1))
            yield from alternate(f"{model}, scaling", {"two runs of 1 x 1 at once": together(*apart)}, {
                "1 x 1": lockstep(binary, model, 1, 1), "1 x 2": lockstep(binary, model, 1, 2),
                "2 x 1": lockstep(binary, model, 2, 1)}, rounds)
        if "shards" in arguments.sections:
            runs = {count: lockstep(binary, model, 1, cpus, "--shards", str(count)) for count in (2, 4, 8, 16)}
            default = default_shards(model)
            yield from alternate(f"{model}, shards", {f"{default} shards": runs.pop(default)}, {
                f"{count} shards": run for count, run in runs.items()}, rounds)


def circumstances(arguments):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {"cpu": cpu_facts("model name"), "cpus": len(os.sched_getaffinity(0)),
            **{name: version(name) for name in ("torch", "jax", "flax")}, "python": platform.python_version(),
            "date": datetime.date.today().isoformat(),
            "commit": commit.stdout.strip(), "command": "compare.py " + " ".join(sys.argv[1:])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--models", nargs="+", default=list(WORK), choices=list(WORK))
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--lockstep", default=str(ROOT / ".build/release/lockstep"), metavar="PATH",
                        help="the program (default: the release build)")
    parser.add_argument("--output", type=pathlib.Path, metavar="FOLDER", help="where to write peers.jsonl and peers.svg")
    arguments = parser.parse_args()
    arguments.lockstep = str(pathlib.Path(arguments.lockstep).resolve())
    if not os.path.exists(arguments.lockstep):
        parser.error(f"there is no {arguments.lockstep}; run swift build -c release")
    facts = circumstances(arguments)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in sections(arguments):
        rows.append(row)
        if arguments.output:
            with open(arguments.output / "peers.jsonl", "a") as file:
                file.write(json.dumps({**row, **facts}) + "\n")
    if arguments.output:
        (arguments.output / "peers.svg").write_text(bars(rows, facts))


if __name__ == "__main__":
    main()
