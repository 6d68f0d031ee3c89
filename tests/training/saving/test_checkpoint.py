"""Checkpoints: whole or refused, and a file that stands in for one is never opened."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facever.errors import TrainingError
from facever.training.saving.checkpoint import load_checkpoint, save_checkpoint

STATE: dict[str, Any] = {
    "weights": torch.arange(600, dtype=torch.float32).reshape(20, 30),
    "position": {"update": 7, "best": 0.25},
    "random": [torch.arange(9, dtype=torch.uint8), None, "text"],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "last.pt", STATE)
    return tmp_path / "last.pt"


def test_every_flipped_bit_is_refused_or_changes_nothing(path: Path, assert_same) -> None:
    whole, random = path.read_bytes(), np.random.default_rng(0)
    expected, refused = load_checkpoint(path), 0
    places = random.choice(8 * len(whole), 400, replace=False)
    values = whole.index(STATE["weights"].numpy().tobytes())
    ends = range(8 * (len(whole) - 700), 8 * len(whole), 17)  # the list of members
    for place in [8 * values, 8 * values + 8 * 2399 + 7, *places.tolist(), *ends]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = load_checkpoint(path)
        except TrainingError as error:
            refused += 1
            assert "last.pt" in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert_same(found, expected)
    assert refused > 150


def test_a_flipped_bit_of_a_weight_is_refused(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[whole.index(STATE["weights"].numpy().tobytes()) + 402] ^= 64
    path.write_bytes(whole)
    with pytest.raises(TrainingError, match=r"last\.pt is not a complete checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "nothing"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "last.pt"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(TrainingError, match=r"last\.pt is not a complete checkpoint"):
        load_checkpoint(path)
