"""Means of a training's statistics between two lines of the log, over updates and processes."""

from typing import Any

import torch
from torch import Tensor

from facever.core.processes import gather_objects, world


class Means:
    """Sums of statistics, and how many updates had each; asking an accelerator nothing."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def note(self, stats: dict[str, Tensor]) -> None:
        """Add the statistics of one update, 0-d tensors."""
        for name, value in stats.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means of all processes, and begin anew. Every process must call it."""
        state = self.state_dict()
        self._sums, self._counts = {}, {}
        return {name: float(total) / state["counts"][name] for name, total in state["sums"].items()}

    def state_dict(self) -> dict[str, Any]:
        """Return "sums", the means of the processes' own, and "counts"; every process must call it.

        What one process does not have counts as 0 there.
        """
        if world() == 1:
            return {"sums": self._sums, "counts": self._counts}
        ours = {name: value.cpu() for name, value in self._sums.items()}
        told = gather_objects((ours, self._counts))
        names = {name: None for sums, _ in told for name in sums}  # in order, each once
        return {
            "sums": {
                name: torch.stack([sums[name] for sums, _ in told if name in sums]).sum(0) / world()
                for name in names
            },
            "counts": {name: max(counts.get(name, 0) for _, counts in told) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up what `state_dict` returned, on every process."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        if "counts" in state:  # older checkpoints have one for all
            self._counts = state["counts"]
        else:
            self._counts = dict.fromkeys(self._sums, state["sum_count"])
