"""What it costs to start: CPU seconds (user + system) of small commands and of every `--help`, and
seconds until `facever serve` is ready.

Each is a process of its own with the default number of threads and warm caches; the median counts.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _figures import Figure, Rounds, as_json, as_table, at_most
from typer.main import get_command

HELP, LIGHT, MODEL, ONNX, READY = 0.25, 0.9, 3.5, 0.9, 1.0
"""Wanted at most: of a `--help`, of a command without a network, of one with a network of torch, of
one with an ONNX model, and until a service is ready."""

BARE = "import numpy, cv2, onnxruntime"
"""What no command with an ONNX model and images can do without, for comparison."""

SERVING = f"{BARE}, pandas, fastapi, uvicorn"
"""What a service imports of others, for comparison."""


def cpu_seconds(
    words: list[str], rounds: int, program: tuple[str, ...] = ("-m", "facever")
) -> Rounds:
    """Return the CPU seconds of `facever WORDS`, after one call that warms the caches."""
    environment, taken = _environment(), []
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


def _environment() -> dict[str, str]:
    """Return the environment without limits on threads; compiled files are kept, as usual."""
    foreign = ("_NUM_THREADS", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if not k.endswith(foreign)}


def ready_seconds(folder: Path, rounds: int) -> Rounds:
    """Return the seconds from the start of `facever serve` to its answer that it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["serve", str(folder), "--model", "sface", "--port", str(port)]
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        served = subprocess.Popen(
            [sys.executable, "-m", "facever", *words],
            env=_environment(),
            stderr=subprocess.DEVNULL,
        )
        try:
            while not _is_ready(port):
                if served.poll() is not None:
                    raise SystemExit(f"facever {' '.join(words)} ended")
                time.sleep(0.005)
            taken.append(time.perf_counter() - began)
        finally:
            served.terminate()
            served.wait()
    return Rounds(taken[1:])


def _is_ready(port: int) -> bool:
    address = f"http://127.0.0.1:{port}/v1/health/ready"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wall_seconds(code: str, rounds: int) -> Rounds:
    """Return the seconds that a Python program takes."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=_environment(), check=True)
        taken.append(time.perf_counter() - began)
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


def has_public_model() -> bool:
    """Return whether SFace is on this machine."""
    from facever.catalogue import entry, found_at

    return found_at(entry("sface")) is not None


def commands(rounds: int) -> Iterator[Figure]:
    """Yield the CPU seconds of small commands."""
    with tempfile.TemporaryDirectory() as folder:
        for name, words in make(Path(folder)).items():
            wanted = MODEL if name == "verify" else LIGHT
            yield at_most(f"{name}_cpu", cpu_seconds(words, rounds), "s", wanted)
        if has_public_model():
            images = [str(Path(folder) / f"{name}.png") for name in "ab"]
            bare = cpu_seconds([], rounds, ("-c", BARE))
            yield at_most("bare_imports_cpu", bare, "s", ONNX)
            taken = cpu_seconds(["verify", "sface", "--crops", *images], rounds)
            yield at_most("verify_sface_cpu", taken, "s", ONNX)


def serving(rounds: int) -> Iterator[Figure]:
    """Yield the seconds until an empty gallery is served, and those of what is imported for it."""
    if not has_public_model():
        return
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "gallery"
        words = ["gallery", "create", str(gallery), "--model", "sface"]
        subprocess.run([sys.executable, "-m", "facever", *words], check=True, capture_output=True)
        yield at_most("bare_imports_of_serving", wall_seconds(SERVING, rounds), "s", READY)
        yield at_most("serve_ready", ready_seconds(gallery, rounds), "s", READY)


def helps(rounds: int) -> Iterator[Figure]:
    """Yield the CPU seconds of every `--help`."""
    for words in verbs():
        name = "_".join(["help", *words])
        yield at_most(f"{name}_cpu", cpu_seconds([*words, "--help"], rounds), "s", HELP)


PARTS = {"commands": commands, "serving": serving, "helps": helps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [figure for part in options.only for figure in PARTS[part](options.rounds)]
    print(as_json(found) if options.json else as_table(found))


if __name__ == "__main__":
    main()
