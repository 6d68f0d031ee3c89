"""What every check gets, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import torch

Status = Literal["passed", "failed", "measured", "skipped"]


class Finding(NamedTuple):
    """What one check saw: it passed, failed, measured something, or was skipped and why."""

    name: str
    status: Status
    said: str


@dataclass(frozen=True)
class Context:
    """Where and how large.

    Attributes:
        device: "cuda", or "cpu" for a trial of the checks themselves.
        folder: An empty folder.
    """

    device: str
    folder: Path

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    def synchronize(self) -> None:
        """Wait until the device has done everything."""
        if self.on_gpu:
            torch.cuda.synchronize()


Check = Callable[[Context], list[Finding]]


def judged(name: str, holds: bool, said: str) -> Finding:
    """Return a finding that compares with the CPU or with what must hold."""
    return Finding(name, "passed" if holds else "failed", said)


def lacking(module: str) -> bool:
    """Return whether a package is not installed; nothing is imported."""
    return find_spec(module) is None
