"""Does a change of structure leave every training's losses as they were, to the bit?

    python tools/soak/losses.py OUT.json                        (before the change)
    python tools/soak/losses.py OUT2.json --against OUT.json    (after it)

One short training for each head with its defaults, with the variants of `VARIANTS`, with
adversaries (HTG) and on two processes: one thread, float32, contiguous layout. Each loss that a
training logs is written as a hexadecimal number. A training that OUT.json holds is not repeated.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from facever.config import parse
from facever.core.run_folder import read_metrics
from facever.data.synthesize import synthesize
from facever.heads.registry import head_names, is_family
from facever.training.config import TrainConfig
from facever.training.train import train

PK = {"size": 16, "images_per_identity": 4}
STREAMED = {"stored": "whole", "logits": "streamed"}
SAMPLED = {"stored": "whole", "logits": "streamed", "sampled": 0.5}
VARIANTS: dict[str, dict[str, Any]] = {
    "softmax-smoothed": {"heads": [{"name": "softmax", "label_smoothing": 0.1, "bias": True}]},
    "rbf-normalized": {"heads": [{"name": "rbf", "gamma": 1.0, "normalize": True}]},
    "class_contrastive-hardest": {
        "heads": [{"name": "class_contrastive", "reduction": "hardest", "margin": 3.0}]
    },
    "class_triplet-sum": {"heads": [{"name": "class_triplet", "reduction": "sum"}]},
    "combined-m1": {"heads": [{"name": "combined", "m1": 1.35, "m2": 0.1, "m3": 0.1}]},
    "softmax+center": {"heads": [{"name": "softmax"}, {"name": "center"}]},
    "htg": {
        "heads": [{"name": "softmax"}],
        "batch": PK,
        "adversarial": {"pretraining": 0.4, "mining": "random"},
    },
    **{
        f"{head}-{how}": {"heads": [{"name": head}], "prototypes": prototypes}
        for head in ("softmax", "arcface", "rbf", "sphereface2", "class_triplet")
        for how, prototypes in (("streamed", STREAMED), ("sampled", SAMPLED))
    },
}
TWO_PROCESSES: dict[str, dict[str, Any]] = {
    "two-cosface": {"heads": [{"name": "cosface"}]},
    "two-sharded": {"heads": [{"name": "cosface"}], "prototypes": {"stored": "sharded"}},
    "two-htg": VARIANTS["htg"],
}
REQUIRED = {"reconstruction": {}, "attributes": {}, "distillation": {}, "pml": {}}
"""Heads that need more than labels; their own tests train them."""


def cases() -> dict[str, dict[str, Any]]:
    """Return what differs from the common configuration, by the training's name."""
    heads = [name for name in head_names() if not is_family(name) and name not in REQUIRED]
    beside = {name: [{"name": name}] for name in heads}
    beside |= {"center": [{"name": "softmax"}, {"name": "center"}]}
    return {name: {"heads": given, "batch": PK} for name, given in beside.items()} | VARIANTS


def config(root: Path, changes: dict[str, Any]) -> TrainConfig:
    """Return the configuration of one short training."""
    common: dict[str, Any] = {
        "data": {"root": str(root), "development_share": 0.3},
        "model": {
            "backbone": "test_resnet",
            "embedding_size": 16,
            "dropout": 0.2,
            "preprocessing": {"size": [32, 32]},
        },
        "batch": {"size": 16},
        "optimizer": {"lr": 0.003},
        "epochs": 3,
        "device": "cpu",
        "precision": "fp32",
        "memory_format": "contiguous",
        "workers": 0,
        "log_every": 1,
        "tensorboard": False,
    }
    return parse(TrainConfig, {**common, **changes})


def losses(root: Path, changes: dict[str, Any], out: Path) -> list[str]:
    """Train and return the logged losses as hexadecimal numbers."""
    run = train(config(root, changes), out)
    return [
        float(line["loss"]).hex() for line in read_metrics(run.metrics) if line["kind"] == "train"
    ]


def two_processes(root: Path, name: str, out: Path) -> list[str]:
    """Train on two processes of torchrun and return what the first one logged."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", __file__, str(root), "--worker", name]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    lines = read_metrics(out / "metrics.jsonl")
    return [float(line["loss"]).hex() for line in lines if line["kind"] == "train"]


def difference(before: list[str], now: list[str]) -> str:
    """Say how far two lists of losses are apart."""
    if len(before) != len(now):
        return f"{len(before)} losses before, {len(now)} now"
    pairs = [(float.fromhex(one), float.fromhex(two)) for one, two in zip(before, now, strict=True)]
    largest = max(abs(one - two) / max(abs(one), 1e-30) for one, two in pairs)
    return f"largest relative difference {largest:.1e}"


def main() -> int:
    """Run what is missing, write it, compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--worker")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if given.worker:
        train(config(given.file, TWO_PROCESSES[given.worker]), given.out)
        return 0
    found = json.loads(given.file.read_text()) if given.file.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "people"
        synthesize(root, identities=12, images_per_identity=6, size=32, seed=1)
        for name, changes in {**cases(), **TWO_PROCESSES}.items():
            if name in found or (given.only and name not in given.only):
                continue
            out = Path(folder) / name.replace(":", "_")
            if name in TWO_PROCESSES:
                found[name] = two_processes(root, name, out)
            else:
                found[name] = losses(root, changes, out)
            given.file.write_text(json.dumps(found, indent=1))
    if given.against is None:
        return 0
    before = json.loads(given.against.read_text())
    differ = [name for name, values in before.items() if found.get(name) != values]
    print(f"{len(before) - len(differ)} of {len(before)} trainings have the same losses")
    for name in differ:
        print(f"  {name}: {difference(before[name], found.get(name, []))}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
