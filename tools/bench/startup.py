"""What it costs to start: CPU seconds (user + system) of small commands and of every `--help`.

Each is a process of its own with the default number of threads and warm caches; the median counts.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _figures import Figure, Rounds, as_json, as_table, at_most
from typer.main import get_command

HELP, LIGHT, MODEL, ONNX = 0.25, 0.9, 3.5, 0.9
"""Wanted at most: of a `--help`, of a command without a network, of one with a network of torch, of
one with an ONNX model."""

BARE = "import numpy, cv2, onnxruntime"
"""What no command with an ONNX model and images can do without, for comparison."""


def cpu_seconds(
    words: list[str], rounds: int, program: tuple[str, ...] = ("-m", "facever")
) -> Rounds:
    """Return the CPU seconds of `facever WORDS`, after one call that warms the caches."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    taken = []
    for _ in range(rounds + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, *program, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and not done.stdout:  # a score without a decision is an answer too
            raise SystemExit(f"facever {' '.join(words)}: {done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Rounds(taken[1:])


def verbs() -> Iterator[list[str]]:
    """Yield the words of every verb and of every verb below it, and no words at all."""
    from importlib import import_module

    from facever.cli.main import VERBS

    yield []
    for verb, (module, _) in VERBS.items():
        yield [verb]
        command = get_command(import_module(f"facever.cli.{module}").app)
        for name in getattr(command, "commands", {}):
            yield [verb, name]


def make(folder: Path) -> dict[str, list[str]]:
    """Make a gallery, an embedding set, a model and two images; return the commands on them."""
    import cv2
    import torch

    from facever import EmbeddingSet, Gallery
    from facever.models.embedder import Embedder, ModelConfig
    from facever.models.saving import save_embedder

    random = np.random.default_rng(0)
    people = np.repeat(np.arange(100), 5)
    rows = random.normal(size=(100, 256))[people] + random.normal(size=(500, 256))
    faces = EmbeddingSet.from_arrays(rows, [f"p{who}" for who in people], fingerprint="bench")
    faces.save(folder / "embeddings")
    with Gallery.create(folder / "gallery", fingerprint="bench", dimension=256) as gallery:
        gallery.enroll(faces)
    torch.manual_seed(0)
    embedder = Embedder(ModelConfig.model_validate({"preprocessing": {"size": (64, 64)}}))
    save_embedder(embedder.eval(), folder / "model.safetensors", metric="cosine")
    images = [str(folder / f"{name}.png") for name in "ab"]
    for path in images:
        cv2.imwrite(path, random.integers(0, 255, (80, 80, 3), np.uint8))
    return {
        "gallery_info": ["gallery", "info", str(folder / "gallery")],
        "evaluate_verification": ["evaluate", "verification", str(folder / "embeddings")],
        "verify": ["verify", str(folder / "model.safetensors"), *images],
    }


def public_model(folder: Path) -> list[str] | None:
    """Return `facever verify sface` on two crops, None where the model is not on this machine."""
    from facever.catalogue import entry, found_at

    if found_at(entry("sface")) is None:
        return None
    return ["verify", "sface", "--crops", *(str(folder / f"{name}.png") for name in "ab")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, words in make(Path(folder)).items():
            wanted = MODEL if name == "verify" else LIGHT
            found.append(at_most(f"{name}_cpu", cpu_seconds(words, options.rounds), "s", wanted))
        if (sface := public_model(Path(folder))) is not None:
            bare = cpu_seconds([], options.rounds, ("-c", BARE))
            found.append(at_most("bare_imports_cpu", bare, "s", ONNX))
            taken = cpu_seconds(sface, options.rounds)
            found.append(at_most("verify_sface_cpu", taken, "s", ONNX))
    for words in verbs():
        name = "_".join(["help", *words])
        found.append(
            at_most(f"{name}_cpu", cpu_seconds([*words, "--help"], options.rounds), "s", HELP)
        )
    print(as_json(found) if options.json else as_table(found))


if __name__ == "__main__":
    main()
