"""Pieces of checkpoints in one process: values, what is missing, damaged or kept.

Those of several processes are tested by `test_distributed.py`, through the trainer.
"""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from facever.errors import TrainingError
from facever.training.saving.pieces import load_pieces, remove_pieces, save_pieces

ROWS = {"heads/weight": 5, "heads/bias": 5, "optimizer/state/3/exp_avg": 5}


def state(number: float = 1.0) -> dict[str, Any]:
    weight = torch.arange(15, dtype=torch.float64).reshape(5, 3) * number
    return {
        "heads": {"weight": weight, "bias": torch.arange(5.0), "gamma": torch.tensor(2.0)},
        "optimizer": {"state": {3: {"exp_avg": weight.bfloat16(), "step": torch.tensor(7.0)}}},
    }


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    return save_pieces(tmp_path, 40, state(), ROWS)


def test_what_was_taken_out_is_put_back(tmp_path: Path, assert_same) -> None:
    saved = state()
    heads = saved["heads"]
    told = save_pieces(tmp_path, 40, saved, ROWS)
    assert sorted(saved["heads"]) == ["gamma"]
    assert sorted(saved["optimizer"]["state"][3]) == ["step"]
    assert len(heads) == 3  # whose dict it was
    load_pieces(tmp_path, told, saved)
    assert_same(saved, state())


def test_the_pieces_are_safetensors_and_nothing_else(tmp_path: Path, told) -> None:
    files = sorted((tmp_path / told["folder"]).iterdir())
    assert {path.suffix for path in files} == {".safetensors"}
    written = {key: value for path in files for key, value in load_file(path).items()}
    assert written.keys() == ROWS.keys()
    assert torch.equal(written["heads/weight"], state()["heads"]["weight"])


def test_an_older_checkpoint_of_the_same_update_stays_until_it_is_removed(
    tmp_path: Path, told
) -> None:
    newer = save_pieces(tmp_path, 40, state(2.0), ROWS)
    for names, number in ((told, 1.0), (newer, 2.0)):
        found = state(0.0)
        load_pieces(tmp_path, names, found)
        assert torch.equal(found["heads"]["weight"], state(number)["heads"]["weight"])
    (tmp_path / "last.pt").touch()
    remove_pieces(tmp_path, newer["folder"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [newer["folder"], "last.pt"]
    remove_pieces(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "other rows"])
def test_a_damaged_piece_is_an_error_of_one_line(tmp_path: Path, told, damage: str) -> None:
    path = sorted((tmp_path / told["folder"]).iterdir())[1]
    if damage == "missing":
        path.unlink()
    elif damage == "other rows":
        told["rows"] = {**ROWS, "heads/bias": 6}
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-1] if damage == "cut" else b"")
    with pytest.raises(TrainingError) as error:
        load_pieces(tmp_path, told, state())
    assert str(error.value) == (
        f"a file of {tmp_path / told['folder']} is missing or damaged, and "
        f"{tmp_path / 'last.pt'} needs it: restore it, or train again"
    )


def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path, told, monkeypatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        save_pieces(tmp_path, 41, state(), ROWS)
    found = state(0.0)
    load_pieces(tmp_path, told, found)
    assert torch.equal(found["heads"]["weight"], state()["heads"]["weight"])


def test_one_flipped_bit_is_refused(tmp_path: Path, told) -> None:
    """safetensors has no checksum of its own."""
    for path in sorted((tmp_path / told["folder"]).iterdir()):
        whole = path.read_bytes()
        for place in (9, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            with pytest.raises(TrainingError, match=r"is missing or damaged"):
                load_pieces(tmp_path, told, state(0.0))
        path.write_bytes(whole)
    load_pieces(tmp_path, told, state(0.0))


def test_pieces_of_earlier_versions_have_no_checksums(tmp_path: Path, told, assert_same) -> None:
    found = state(0.0)
    load_pieces(tmp_path, {key: told[key] for key in ("folder", "rows")}, found)
    assert_same(found, state())
