"""What identities cost: the class layer whole, streamed and sampled, alone and on two processes.

layer: CosFace over C prototypes of D 512 for a batch of B 1024 embeddings, each way in a process of
its own; float32. Medians of rounds in which two things are timed in turns:

- time: forward + backward (for a sample with the taking out and putting back of its rows) over the
  three products of the same shape, B x D x C (x the share), made by blocks of columns;
- update: that and the optimizer's step (SGD with momentum), in seconds;
- memory: the peak of updates over weights + gradients + optimizer state (a sample has gradients of
  its rows only), and what is beyond them over the logits, B x C.

processes: as many identities per process on one and on two gloo processes of one thread each, the
same global batch: the time of one over the time of two, 1 where shards cost nothing. Not on GPUs.

images: on a GPU, `training.py`: images per second over those of a bare loop.

What does not fit in memory is said so, and its ratios are left out.

    python tools/bench/scaling.py --json
    python tools/bench/scaling.py --classes 100000 1000000 10000000 --device cuda --json
    python tools/bench/scaling.py --parts images --device cuda --json
"""

import argparse
import gc
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from _figures import Figure, Rounds, as_json, as_table, at_least, at_most, ratios
from common import forget_peak, peak

from facever.config import parse
from facever.core.processes import all_sum, is_main, rank, started, world
from facever.heads.base import Head
from facever.heads.classes.layout import PrototypesConfig
from facever.heads.registry import build_head, head_class
from facever.training.computing.optimization import NetworkOptimizerConfig, make_optimizer
from facever.training.computing.rows import RowSampling

D = 512
BLOCK = 2**16
WAYS: dict[str, dict[str, object]] = {
    "whole": {},
    "streamed": {"logits": "streamed"},
    "sampled": {"logits": "streamed", "sampled": 0.1},
}
SLOWER, GROWTH = 1.5, 1.5
"""Wanted: streamed over whole in time; what it needs beyond weights + gradients + state with the
most identities over what it needs with the fewest."""
SCALED = 0.85
"""Wanted of two processes."""


def main() -> None:
    options = arguments()
    if options.worker:
        work = layer if options.worker == "layer" else sharded
        with started(options.device):
            told = measured(work, options)
            if is_main():
                print(json.dumps(told))
        return
    second = "images" if options.device == "cuda" else "processes"
    figures = []
    for part in options.parts or ["layers", second]:
        figures += PARTS[part](options)
    print(as_json(figures) if options.json else as_table(figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="all that the device allows")
    parser.add_argument("--classes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of a process, on the CPU")
    parser.add_argument("--per-process", type=int, default=20_000, help="identities, for processes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=("layer", "sharded"), help=argparse.SUPPRESS)
    return parser.parse_args()


# ---------------------------------------------------------------------- what is asked of workers


def layers(options: argparse.Namespace) -> list[Figure]:
    figures, beyond = [], []
    for identities in options.classes:
        found: dict[str, dict[str, Any]] = {}
        for way in options.ways:
            told = asked("layer", options, identities, way)
            name, fits = f"{identities:,} {way}", "does not fit" not in told
            if way == "streamed":
                figures.append(at_least(f"{name}: fits", float(fits), "", 1))
            elif not fits:
                figures.append(Figure(f"{name}: fits", 0, ""))
            if fits:
                found[way] = told
                figures += layer_figures(name, told)
        if {"whole", "streamed"} <= set(found):
            over = ratios(found["streamed"]["layers"], found["whole"]["layers"])
            figures.append(at_most(f"{identities:,} streamed over whole", over, "x", SLOWER))
        if "streamed" in found:
            beyond.append(found["streamed"]["peak"] - found["streamed"]["needed"])
    if len(beyond) == len(options.classes) > 1:
        growth = beyond[-1] / beyond[0]
        figures.append(at_most("streamed: beyond, most over fewest", growth, "x", GROWTH))
    return figures


def layer_figures(name: str, found: dict[str, Any]) -> list[Figure]:
    return [
        at_most(
            f"{name}: over its products", ratios(found["layers"], found["products"]), "x", None
        ),
        at_most(f"{name}: update", Rounds(found["updates"]), "s", None),
        Figure(
            f"{name}: peak over weights + gradients + state", found["peak"] / found["needed"], "x"
        ),
        Figure(f"{name}: beyond them", found["peak"] - found["needed"], "MB"),
        Figure(
            f"{name}: beyond them over the logits",
            (found["peak"] - found["needed"]) / found["logits"],
            "x",
        ),
    ]


def processes(options: argparse.Namespace) -> list[Figure]:
    ones, twos = [], []
    for _ in range(3):
        one = asked("sharded", options, options.per_process, "whole")["update"]
        two = asked("sharded", options, 2 * options.per_process, "whole", 2)["update"]
        ones.append(one)
        twos.append(two)
    return [
        at_most("two processes: update", Rounds(twos), "s", None),
        at_least(
            f"one process of {options.per_process:,} over two of as many",
            ratios(ones, twos),
            "x",
            SCALED,
        ),
    ]


def images(_: argparse.Namespace) -> list[Figure]:
    bench = Path(__file__).with_name("training.py")
    told = subprocess.run([sys.executable, bench, "--json"], stdout=subprocess.PIPE)
    if told.returncode:  # the figures of other parts are not lost for it
        print(f"images: {bench.name} ended with {told.returncode}, see above", file=sys.stderr)
        return []
    return [Figure(**figure) for figure in json.loads(told.stdout)["figures"]]


PARTS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "layers": layers,
    "processes": processes,
    "images": images,
}


def asked(
    worker: str, options: argparse.Namespace, identities: int, way: str, world: int = 1
) -> dict[str, float]:
    """Return what fresh processes measure; "does not fit" is in it where memory ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--worker", worker, "--classes", str(identities)]
    command += ["--ways", way, "--batch", str(options.batch), "--rounds", str(options.rounds)]
    command += ["--device", options.device, "--threads", str(options.threads)]
    alone = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    begun = [
        subprocess.Popen(
            command,
            env={**os.environ, **alone, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(world)
    ]
    told = [process.communicate()[0] for process in begun]
    statuses = {process.returncode for process in begun}
    if -signal.SIGKILL in statuses:  # by the machine, for want of memory
        return {"does not fit": 1.0}
    if statuses != {0}:
        raise SystemExit(f"{identities:,} {way}: ended with {statuses}, see above")
    answer: dict[str, Any] = json.loads(told[0])
    return answer


# ---------------------------------------------------------------------- what workers measure


class Layer:
    """A class layer with its optimizer, and a batch for it."""

    def __init__(self, options: argparse.Namespace, prototypes: PrototypesConfig, rows: int):
        torch.manual_seed(0)
        torch.set_num_threads(options.threads)
        self.identities, self.device = options.classes[0], torch.device(options.device)
        cosface = parse(head_class("cosface").Config, {"name": "cosface"})
        self.head: Head = build_head(cosface, D, self.identities, prototypes).to(self.device)
        config = parse(NetworkOptimizerConfig, {"name": "momentum", "lr": 1e-3})
        groups = [{"params": list(self.head.parameters()), "weight_decay": 0.0}]
        self.optimizer = make_optimizer(groups, config)
        share = prototypes.sampled
        self.rows = RowSampling([self.head], self.optimizer, share, 0) if share < 1 else None
        self.x = torch.randn(rows, D, device=self.device)
        self.labels = torch.randint(self.identities, (rows,), device=self.device)
        self.updates = 0

    def update(self, step: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        sampled = (
            nullcontext() if self.rows is None else self.rows.chosen(self.labels, self.updates)
        )
        with sampled:
            self.head(self.x.detach().requires_grad_(), self.labels).loss.backward()
            if step:
                self.optimizer.step()

    def needed(self, share: float) -> float:
        """Return the MB of weights, gradients and optimizer state, which nobody can avoid."""
        weights = sum(p.numel() * p.element_size() for p in self.head.parameters()) / 2**20
        return weights * (2 + share)


def measured(
    work: Callable[[argparse.Namespace], dict[str, float]], options: argparse.Namespace
) -> dict[str, float]:
    try:
        return work(options)
    except (MemoryError, torch.OutOfMemoryError):
        return {"does not fit": 1.0}
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # as the CPU says it
            raise
        return {"does not fit": 1.0}


def layer(options: argparse.Namespace) -> dict[str, Any]:
    config = parse(PrototypesConfig, WAYS[options.ways[0]])
    made = Layer(options, config, options.batch)
    gc.collect()
    weights = made.needed(0) / 2
    before = in_use(made.device) - weights
    made.update()
    forget(made.device)
    made.update()
    most = largest(made.device) - before
    multiply = products(made, config.sampled)
    taken: dict[str, list[float]] = {"layers": [], "products": [], "updates": []}
    for _ in range(options.rounds):
        taken["layers"].append(clocked(lambda: made.update(step=False), made.device))
        taken["products"].append(clocked(multiply, made.device))
        taken["updates"].append(clocked(made.update, made.device))
    return {
        **taken,
        "peak": most,
        "needed": made.needed(config.sampled),
        "logits": options.batch * made.identities * config.sampled * 4 / 2**20,
    }


def sharded(options: argparse.Namespace) -> dict[str, float]:
    stored = "sharded" if world() > 1 else "whole"
    rows = options.batch // world()
    made = Layer(options, parse(PrototypesConfig, {"stored": stored}), rows)
    torch.manual_seed(rank() + 1)
    made.x = torch.randn(rows, D)
    made.labels = torch.randint(made.identities, (rows,))
    made.update()
    taken = []
    for _ in range(options.rounds):
        all_sum(torch.zeros(1))  # begin together
        taken.append(clocked(made.update, made.device))
    return {"update": statistics.median(taken)}


def products(made: Layer, share: float) -> Callable[[], None]:
    """Return the three products of the layer, by blocks of columns with new results each."""
    columns = int(made.identities * share)
    weight = made.head.prototypes.weight.detach()[:columns]  # type: ignore[union-attr]
    gradient = torch.randn(len(made.x), min(columns, BLOCK), device=made.device)

    def multiply() -> None:
        for block in weight.split(BLOCK):
            wrong = gradient[:, : len(block)]
            _ = made.x @ block.T
            _ = wrong @ block
            _ = wrong.T @ made.x

    return multiply


def clocked(work: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def in_use(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.memory_allocated() / 2**20
    forget_peak()
    return peak()


def forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()


def largest(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else peak()


if __name__ == "__main__":
    main()
