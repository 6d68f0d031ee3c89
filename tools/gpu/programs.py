"""Checks that are programs: tests, a training in two processes, the trainer's speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from facever.data.synthesize import synthesize
from tools.gpu.context import Context, Finding, judged, lacking

ROOT = Path(__file__).parents[2]
TESTS = ("tests/training/test_on_device.py",)


def device_tests(context: Context) -> list[Finding]:
    """Run the tests that are parametrized by device."""
    if not context.on_gpu:
        return [Finding("tests on the device", "skipped", "CI runs them on the CPU")]
    done = _run("-m", "pytest", "-q", "-n", "0", *TESTS)
    return [judged("tests on the device", done.returncode == 0, _last_line(done.stdout))]


def two_gpus(context: Context) -> list[Finding]:
    """Train in two processes, each with a GPU of its own, over NCCL."""
    gpus = torch.cuda.device_count() if context.on_gpu else 0
    if gpus < 2:
        return [Finding("NCCL", "skipped", f"needs two GPUs (found {gpus})")]
    synthesize(context.folder / "nccl-people", 12, 6, size=32)
    done = _run(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "facever", "train", "folder", f"data.root={context.folder / 'nccl-people'}"),
        *("model.backbone=test_resnet", "model.embedding_size=16", "augmentation=null"),
        *("device=cuda", "epochs=2", "batch.size=16", "prototypes.stored=sharded"),
        *("--out", str(context.folder / "nccl")),
    )
    said = "two processes, sharded prototypes" if not done.returncode else _last_line(done.stderr)
    return [judged("NCCL", done.returncode == 0, said)]


def throughput(context: Context) -> list[Finding]:
    """Compare the trainer with a bare loop of torch's loader (tools/bench/training.py)."""
    size = [] if context.on_gpu else ["--backbone", "test_resnet", "--size", "32", "--batch", "16"]
    count = ["--rounds", "6"] if context.on_gpu else ["--rounds", "1", "--images", "64"]
    without = ["augmentation=null"] if lacking("albumentations") else []
    done = _run("tools/bench/training.py", "--json", *size, *count, *without)
    if done.returncode:
        return [Finding("throughput", "failed", _last_line(done.stderr))]
    note = " (without augmentation: albumentations is not installed)" if without else ""
    return [
        Finding(one["name"] + note, "measured", f"{one['value']:.3g} {one['unit']}")
        for one in json.loads(done.stdout)["figures"]
    ]


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1]
