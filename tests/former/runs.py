"""What `make` writes of trainings: runs, finished and interrupted, and the losses of each head."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.former.models import TINY
from tests.former.replay import FOLDER, HERE, ask, one_thread, with_paths

ROOT = HERE.parent.parent
PEOPLE, IMAGES = 12, 4

CONFIG: dict[str, Any] = {
    "data": {"root": "faces", "development_share": 0.25},
    "model": {**TINY, "dropout": 0.2},
    "heads": [{"name": "cosface", "scale": 16}],
    "batch": {"size": 8},
    "optimizer": {"lr": 0.003},
    "schedule": {"warmup_epochs": 0.5},
    "epochs": 3,
    "ema_decay": 0.9,
    "device": "cpu",
    "workers": 0,
    "precision": "fp32",
    "memory_format": "contiguous",
    "log_every": 2,
    "tensorboard": False,
    "operating_point_far": 0.1,
}
IN_PAIRS = {"size": 8, "images_per_identity": 2}

RUNS: dict[str, dict[str, Any]] = {
    "plain": CONFIG,
    "htg": {
        **CONFIG,
        "heads": [{"name": "softmax"}],
        "batch": IN_PAIRS,
        "adversarial": {"pretraining": 0.4},
    },
    "two-processes": {
        **CONFIG,
        "prototypes": {"stored": "sharded", "logits": "streamed"},
        "distributed": {"batch_norm": "frozen"},
    },
}
"""The runs by name; each stands in the archive finished, and interrupted in update `STOP`."""

STOP = 7
PROCESSES = {"plain": 1, "htg": 1, "two-processes": 2}

SHORT: dict[str, Any] = {
    **CONFIG,
    "data": {"root": "faces/attributes.csv", "development_share": 0.0},
    "model": TINY,
    "batch": IN_PAIRS,
    "augmentation": None,
    "epochs": 1,
    "ema_decay": None,
    "log_every": 1,
}
BESIDE = {"name": "softmax"}
HEADS: dict[str, list[dict[str, Any]]] = {
    "adaface": [{"name": "adaface"}],
    "arcface": [{"name": "arcface"}],
    "asoftmax": [{"name": "asoftmax"}],
    "asoftmax-stable": [{"name": "asoftmax", "variant": "stable"}],
    "attributes": [BESIDE, {"name": "attributes", "columns": ["glasses", "hair"]}],
    "center": [BESIDE, {"name": "center"}],
    "circle": [{"name": "circle"}],
    "class_contrastive": [{"name": "class_contrastive"}],
    "class_triplet": [{"name": "class_triplet"}],
    "combined": [{"name": "combined", "m1": 1.1, "m2": 0.2, "m3": 0.1}],
    "contrastive": [{"name": "contrastive"}],
    "cosface": [{"name": "cosface"}],
    "cosine": [{"name": "cosine"}],
    "coupled_clusters": [{"name": "coupled_clusters"}],
    "curricular": [{"name": "curricular"}],
    "distillation": [{"name": "distillation", "teacher": "runs/plain"}],
    "distillation-soft": [
        BESIDE,
        {"name": "distillation", "teacher": "runs/plain", "loss": "soft_targets"},
    ],
    "hierarchical_softmax": [{"name": "hierarchical_softmax"}],
    "hierarchical_softmax-adaptive": [{"name": "hierarchical_softmax", "tree": "adaptive"}],
    "magface": [{"name": "magface", "l_a": 0.5, "u_a": 8.0}],
    "pml:NAME": [{"name": "pml:MultiSimilarityLoss", "miner": "MultiSimilarityMiner"}],
    "pml-proxies": [{"name": "pml:ProxyAnchorLoss"}],
    "rbf": [{"name": "rbf"}],
    "reconstruction": [BESIDE, {"name": "reconstruction", "size": 8, "channels": 4}],
    "sampled_softmax": [{"name": "sampled_softmax", "negatives": 3}],
    "softmax": [BESIDE],
    "softmax-before-norm": [{"name": "softmax", "bias": True, "input": "before_norm"}],
    "sphereface2": [{"name": "sphereface2"}],
    "triplet": [{"name": "triplet"}],
    "triplet-semi-hard": [{"name": "triplet", "mining": "semi_hard"}],
    "two-with-weights": [
        {"name": "cosface", "weight": 0.5},
        {"name": "triplet", "mining": "batch_hard"},
    ],
}
"""Lists of heads by the name of the head that they are about."""

VOLATILE = {"images_per_s", "data_wait_percent", "update_seconds", "seconds"}
"""Figures of metrics.jsonl that differ from time to time."""


def figures(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl without what differs from time to time."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{key: x for key, x in line.items() if key not in VOLATILE} for line in lines]


def fingerprint(run: Path) -> str:
    """Return the fingerprint in the header of a run's model."""
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", framework="np") as file:
        return str(json.loads(file.metadata()["facever"])["fingerprint"])


def launched(processes: int, words: Sequence[str], folder: Path) -> str:
    """Run a module with words in processes of its own, by torchrun where they are several.

    Returns:
        What it said on standard error. An error of it, or an interruption, is no error here.
    """
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}"]
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "-m", *words],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.stderr


def losses(name: str, folder: Path) -> list[dict[str, Any]]:
    """Train by a list of heads for one epoch and return the figures of each update."""
    config = folder / f"{name.replace(':', '-')}.yaml"
    config.write_text(yaml.safe_dump({**SHORT, "heads": HEADS[name]}))
    run = config.with_suffix("")
    with one_thread():
        said = ask(["train", config.name, "--out", run.name, "--json"], folder)
    assert said["status"] == 0, name
    return figures(run)


QUESTIONS = {
    "inspect": "data inspect faces",
    "inspect-table": "data inspect faces/attributes.csv",
    "verify": "verify runs/plain {0}/0000.png {0}/0001.png",
    "verify-flip": "verify runs/htg {0}/0000.png {1}/0001.png --flip",
    "verification": "evaluate verification embeddings --far 0.05",
    "verification-overlap": "evaluate verification embeddings --far 0.05 --allow-overlap",
    "report-of-run": "report runs/plain",
    "report-of-htg": "report runs/htg",
    "report-of-embeddings": "report embeddings --far 0.05 --group glasses",
    "side-by-side": "report embeddings embeddings-htg --far 0.05",
    "gallery-info": "gallery info gallery",
    "gallery-search": "gallery search gallery {0}/0003.png {1}/0003.png --model runs/plain -k 2",
    "gallery-verify": "gallery verify gallery person000000 {0}/0003.png --model runs/plain",
    "gallery-check": "gallery check gallery",
}
"""What is asked of runs, by name."""


def question(words: str) -> list[str]:
    people = [f"faces/person{number:06d}" for number in range(2)]
    return [*words.format(*people).split(), "--json"]


def fill(folder: Path) -> None:
    """Write images, and the runs on them."""
    words = f"data synthesize faces --identities {PEOPLE} --images {IMAGES} --size 32 --format png"
    assert ask(words.split(), folder)["status"] == 0
    table = pd.read_csv(folder / "faces" / "manifest.csv")
    person, shot = table["identity"].str[-6:].astype(int), table["shot"]
    table["glasses"], table["hair"] = (person + shot) % 2, (person % 3).map(list("abc").__getitem__)
    table.to_csv(folder / "faces" / "attributes.csv", index=False)
    (folder / "runs").mkdir()
    for name, config in RUNS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        train = ["train", f"{name}.yaml", "--out"]
        said = launched(PROCESSES[name], ["facever", *train, f"runs/{name}"], folder)
        assert (folder / "runs" / name / "model.safetensors").is_file(), said
        stopped = f"runs/{name}-interrupted"
        by = ["tests.former.interrupted", str(STOP), *train, stopped]
        said = launched(PROCESSES[name], by, folder)
        assert "stopped by SIGTERM" in said, said
        assert not (folder / stopped / "model.safetensors").is_file()


def write(folder: Path) -> dict[str, Any]:
    fill(folder)
    kept = {path.name for path in folder.iterdir()}
    with one_thread():
        for run, out in (("plain", "embeddings"), ("htg", "embeddings-htg")):
            table = "faces/attributes.csv"
            embed = f"embed runs/{run} {table} --out {out} --workers 0 --device cpu --batch-size 8"
            assert ask(embed.split(), folder)["status"] == 0
        create = "gallery create gallery --model runs/plain"
        assert ask(create.split(), folder)["status"] == 0
        enroll = "gallery enroll gallery faces --model runs/plain --device cpu --conflicts ignore"
        assert ask(enroll.split(), folder)["status"] == 0
        kept |= {"embeddings", "embeddings-htg", "gallery"}
        answers = {name: ask(question(words), folder) for name, words in QUESTIONS.items()}
        told = {
            "answers": answers,
            "figures": {name: figures(folder / "runs" / name) for name in RUNS},
            "fingerprints": {name: fingerprint(folder / "runs" / name) for name in RUNS},
            "losses": {name: losses(name, folder) for name in HEADS},
        }
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in with_paths(folder):
        path.write_text(path.read_text().replace(str(folder), FOLDER))
    return told
