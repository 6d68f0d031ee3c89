"""Which settings of batch-hard triplet and rbf stay where they began, behind which neck (MNIST).

    python tools/experiments/necks.py RESULTS [NAME ...]

Each training writes RESULTS/NAME/seed-S.json, and one that is there is not repeated. A table of
what is there is printed, with three seeds each.
"""

import copy
import json
import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from learning import SEEN, Digits, Training, learn, load_digits, measure
from tables import markdown
from torch import nn

from facever.core.console import say
from facever.core.json_files import write_json
from facever.heads import WeightedSum

SEEDS = range(3)
LOOKS = (1, 5, 10, 20, 50, 100, 200, 300)
NECKS = {"linear": False, "linear_bn": True}
WARMUPS = {"none": 1, "warm-up": 94}


def batch_hard(distance: str, norm: bool) -> Training:
    head = {"name": "triplet", "mining": "batch_hard", "distance": distance}
    return Training((head,), SEEN, per_digit=9, batch=63, norm=norm, looks=LOOKS)


def rbf(gamma: str, warmup: int, norm: bool) -> Training:
    head = {"name": "rbf", "gamma": gamma}
    return Training((head,), lr=3e-3, warmup=warmup, norm=norm, looks=LOOKS)


TRAININGS: dict[str, Training] = {
    **{
        f"batch-hard {distance}, {neck}": batch_hard(distance, NECKS[neck])
        for neck, distance in product(NECKS, ("squared", "plain"))
    },
    **{
        f"rbf {gamma}, {warmup}, {neck}": rbf(gamma, WARMUPS[warmup], NECKS[neck])
        for neck, warmup, gamma in product(NECKS, WARMUPS, ("median", "following"))
    },
}


def look(network: nn.Module, heads: WeightedSum, data: Digits) -> dict[str, float]:
    """Return distances, lengths and gradients of one batch; the training goes on unchanged."""
    network, heads = copy.deepcopy(network).train(), copy.deepcopy(heads)
    network.zero_grad()
    rows = torch.cat([torch.nonzero(data.labels == label)[:9, 0] for label in data.labels.unique()])
    batch = data.at(rows)
    x = network(batch.images)
    loss = heads(x, batch.labels).loss
    loss.backward()
    gradients = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    squares = x.detach().square().sum(1)
    found = {
        "loss": loss.detach(),
        "unit distance": torch.pdist(F.normalize(x.detach())).mean(),
        "squared length": squares.mean(),
        "gradient": torch.stack(gradients).norm(),
    }
    gamma = getattr(heads.heads[0], "gamma", None)
    if gamma is not None:
        found |= {"gamma": gamma, "squared length over gamma": squares.mean() / gamma}
    return {name: float(value) for name, value in found.items()}


def run(folder: Path, names: list[str]) -> None:
    """Make the trainings that are not there yet, seed by seed."""
    data = load_digits()
    for seed, name in product(SEEDS, names):
        file = folder / name / f"seed-{seed}.json"
        if not file.is_file():
            done = learn(TRAININGS[name], seed, data, look)
            figures = measure(TRAININGS[name], done)
            write_json(file, {"figures": figures, "looks": done.looks})
            say(f"{name}, seed {seed}: {done.seconds:.0f} s, loss {done.loss:.4f}")


def row(name: str, found: list[dict[str, Any]]) -> list[str]:
    figures = [each["figures"] for each in found]
    judged = "accuracy" if "accuracy" in figures[0] else "TAR at FAR 1e-2 (cosine)"
    return [
        name,
        *(", ".join(f"{each[key]:.3f}" for each in figures) for key in ("loss", judged)),
        *(", ".join(f"{each['looks'][i][key]:.3g}" for each in found)
          for i, key in ((0, "gradient"), (3, "gradient"), (5, "gradient"), (5, "unit distance"))),
    ]  # fmt: skip


def table(folder: Path) -> str:
    rows = []
    for name in TRAININGS:
        files = [folder / name / f"seed-{seed}.json" for seed in SEEDS]
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
        if found:
            rows.append(row(name, found))
    at = [f"gradient after {LOOKS[i]}" for i in (0, 3, 5)]
    headers = ["training", "loss of the last epoch", "accuracy, or TAR at FAR 1e-2", *at]
    return markdown("Each seed", [*headers, f"unit distance after {LOOKS[5]}"], rows)


def main() -> None:
    folder, *wanted = sys.argv[1:]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    run(Path(folder), wanted or list(TRAININGS))
    print(table(Path(folder)))


if __name__ == "__main__":
    main()
