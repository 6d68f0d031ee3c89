"""`facever train --profile`: a trace of some updates, and in words what took their time."""

import time
from pathlib import Path
from typing import Any

import torch

from facever.core.console import say, warn
from facever.core.files import atomic_path, write_text

SKIPPED, RECORDED = 3, 10
"""Updates before the recording, which set things up, and in it at most."""

WORDS = {
    "convolution_backward": "backward pass of convolutions",
    "convolution": "convolutions",
    "batch_norm_backward": "backward pass of BatchNorm",
    "batch_norm": "BatchNorm",
    "layer_norm_backward": "backward pass of LayerNorm",
    "layer_norm": "LayerNorm",
    "attention_backward": "backward pass of attention",
    "attention": "attention",
    "compiledfxgraph": "kernels that torch.compile made",
    "optimizer": "optimizer",
    "_fused_": "optimizer",
    "_foreach_": "optimizer and clipping of gradients",
    "dataloader": "waiting for images (or loading them, without workers)",
    "addmm": "matrix products",
    "bmm": "matrix products",
    "mm": "matrix products",
    "linear": "matrix products",
    "max_pool2d_with_indices_backward": "backward pass of max pooling",
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "relu": "activations",
    "threshold_backward": "backward pass of activations",
    "gelu": "activations",
    "silu": "activations",
    "softmax": "softmax and cross-entropy",
    "index": "picking of rows",
    "copy_": "copies between formats, layouts and devices",
    "_to_copy": "copies between formats, layouts and devices",
    "add_": "sums in place",
    "add": "sums",
    "mul": "products of elements",
    "div": "divisions",
    "sum": "sums over elements",
    "gloo": "exchange between processes",
    "nccl": "exchange between processes",
    "c10d": "exchange between processes",
}
"""What a part of an operator's name means; the longest that is found counts."""


class Profile:
    """Records ten updates of one epoch in this process and writes what it saw.

    They begin with the fourth update, or with the next epoch where this one has too few left, so
    that nothing but updates is recorded.

    Args:
        folder: Gets `trace.json` (open it in Perfetto or chrome://tracing) and `summary.txt`.
        device: Where the training computes.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.folder, self._on_gpu = folder, device.type == "cuda"
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self._on_gpu:
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self._profiler: Any = torch.profiler.profile(activities=activities, acc_events=True)
        self._updates, self._enough, self._began = 0, 0, 0.0
        self._recorded: int | None = None  # None before the recording
        self._over = False

    def epoch(self, left: int, another: bool) -> None:
        """Say that an epoch begins.

        Args:
            left: Its updates.
            another: Whether one follows.
        """
        self._enough = min(RECORDED, left) if another else 1
        self._begin_where_enough_are(left)

    def updated(self, left: int) -> None:
        """Say that an update is over, and how many are left in its epoch."""
        self._updates += 1
        if self._recorded is None:
            self._begin_where_enough_are(left)
            return
        self._recorded += 1
        if not self._over and (self._recorded == RECORDED or not left):
            self._finish()

    def close(self) -> None:
        """End the recording with the training, where that is over before."""
        if not self._recorded:
            warn(f"no profile: it records from update {SKIPPED + 1} on, and there was none")
        elif not self._over:
            self._finish()

    def _begin_where_enough_are(self, left: int) -> None:
        if self._recorded is None and self._updates >= SKIPPED and left >= self._enough:
            self._recorded = 0
            self._profiler.start()
            self._began = time.perf_counter()

    def _finish(self) -> None:
        assert self._recorded
        self._over = True
        if self._on_gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._began
        self._profiler.stop()
        self.folder.mkdir(exist_ok=True)
        trace = self.folder / "trace.json"
        with atomic_path(trace) as temporary:
            self._profiler.export_chrome_trace(str(temporary))
        told = summary(self._costs(), seconds, self._recorded, self._on_gpu)
        write_text(self.folder / "summary.txt", told)
        say(f"{told}trace: {trace}")

    def _costs(self) -> dict[str, tuple[float, int]]:
        """Return seconds and calls by operator, each second counted once."""
        costs: dict[str, tuple[float, int]] = {}
        for event in self._profiler.key_averages():
            if event.device_type.name != "CPU":
                continue  # a kernel: its time is also its operator's
            micro = event.self_device_time_total if self._on_gpu else event.self_cpu_time_total
            costs[event.key] = (micro / 1e6, event.count)
        return costs


def summary(
    costs: dict[str, tuple[float, int]], seconds: float, updates: int, on_gpu: bool = False
) -> str:
    """Return the five most expensive things in words, one a line.

    Args:
        costs: Seconds and calls of the operators, by PyTorch's names.
        seconds: How long the recording took.
        updates: How many updates it holds.
        on_gpu: Whether the seconds are the GPU's.
    """
    together: dict[str, list[tuple[float, int, str]]] = {}
    for name, (took, calls) in costs.items():
        together.setdefault(in_words(name), []).append((took, calls, name))
    sums = {words: sum(took for took, _, _ in parts) for words, parts in together.items()}
    most = sorted(sums, key=lambda words: -sums[words])[:5]
    lines = [
        f"{updates} updates took {seconds:.2f} s ({1000 * seconds / updates:.0f} ms each); most of "
        f"{'the GPU time' if on_gpu else 'it'}:"
    ]
    for place, words in enumerate(most, 1):
        _, calls, name = max(together[words])  # the others may be calls inside of it
        lines.append(
            f"{place}. {words}: {100 * sums[words] / seconds:.0f} %, "
            f"{1000 * sums[words] / updates:.1f} ms an update ({name}: {calls / updates:.0f} calls)"
        )
    rest = seconds - sum(sums[words] for words in most)
    lines.append(f"   everything else: {100 * max(rest, 0) / seconds:.0f} %")
    return "\n".join(lines) + "\n"


def in_words(name: str) -> str:
    """Return what an operator does; its own name where that is not known."""
    found = [part for part in WORDS if part in name.lower()]
    return WORDS[max(found, key=len)] if found else name
