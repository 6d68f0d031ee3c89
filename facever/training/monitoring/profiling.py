"""`facever train --profile`: a trace of some updates, and what took their time."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from facever.core.console import say, warn
from facever.core.files import atomic_path, write_text

SKIPPED, RECORDED = 3, 10
"""Updates before the recording, which set things up, and in it at most."""

SHOWN, LISTED = 5, 30
"""Operators that are said, and in the table of summary.txt."""


class Profile:
    """Records ten updates of one epoch in this process and writes what it saw.

    They begin with the fourth update, or with the next epoch where this one has too few left, so
    that nothing but updates is recorded.

    Args:
        folder: Gets `trace.json` (open it in Perfetto or chrome://tracing) and `summary.txt`, a
            table of operators.
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
        operators = self._profiler.key_averages()
        told = summary(operators, seconds, self._recorded, self._on_gpu)
        order = "self_device_time_total" if self._on_gpu else "self_cpu_time_total"
        table = operators.table(sort_by=order, row_limit=LISTED, max_name_column_width=60)
        write_text(self.folder / "summary.txt", f"{told}\n{table}\n")
        say(f"{told}trace: {trace}")


def summary(operators: Iterable[Any], seconds: float, updates: int, on_gpu: bool = False) -> str:
    """Return the operators that took most of the time, one a line; each second is counted once.

    Args:
        operators: The averages of torch's profiler.
        seconds: How long the recording took.
        updates: How many updates it holds.
        on_gpu: Whether the time of the GPU is meant. A kernel's is its operator's, too.
    """
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    costs = {
        one.key: (getattr(one, field) / 1e6, one.count)
        for one in operators
        if one.device_type.name == "CPU"
    }
    lines = [
        f"{updates} updates took {seconds:.2f} s ({1000 * seconds / updates:.0f} ms each); most "
        f"{'GPU ' if on_gpu else ''}time went into:"
    ]
    for name, (took, calls) in sorted(costs.items(), key=lambda cost: -cost[1][0])[:SHOWN]:
        lines.append(
            f"{100 * took / seconds:4.0f} %, {1000 * took / updates:.1f} ms an update: {name} "
            f"({calls / updates:.0f} calls)"
        )
    return "\n".join(lines) + "\n"
