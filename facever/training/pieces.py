"""Checkpoints of what each process holds a shard of: a piece from each, read again on any number.

A sharded tensor's rows lie in the pieces one after another, in the order of the processes. The
replicated state names the pieces and is written last, so that a checkpoint is whole or not there.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from facever.errors import TrainingError
from facever.files import atomic_path
from facever.processes import rank, world
from facever.training.parallel import is_sharded

Shards = dict[str, tuple[int, int]]
"""From a tensor's place in the state, as keys joined by "/", to first row and rows of all."""

PREFIX = "last-"


def shards_of(heads: nn.Module, optimizer: Optimizer) -> Shards:
    """Return the places of the sharded tensors in a step's state dict.

    Raises:
        TrainingError: The optimizer keeps a state of sharded parameters that is not by row.
    """
    found: Shards = {
        f"heads/{name}": parameter.shard_of  # type: ignore[attr-defined]
        for name, parameter in heads.named_parameters()
        if is_sharded(parameter)
    }
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, parameter in enumerate(parameters):
        if not is_sharded(parameter):
            continue
        for name, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, Tensor) or not value.ndim:
                continue
            if len(value) != len(parameter):
                raise TrainingError(
                    f"optimizer {type(optimizer).__name__} keeps a state of {list(value.shape)} "
                    f"for prototypes {list(parameter.shape)}, which cannot be written in shards: "
                    "take sgd or adamw, or prototypes.stored: whole"
                )
            found[f"optimizer/state/{number}/{name}"] = parameter.shard_of
    return found


def save_piece(folder: Path, update: int, state: dict[str, Any], shards: Shards) -> dict[str, Any]:
    """Write this process's shards, and take them out of the state.

    Args:
        folder: Of the checkpoints.
        update: Number of updates done; with the number of processes it names the pieces.
        state: Of the step; the tensors at the places are left out of it.
        shards: Their places.

    Returns:
        What `load_pieces` needs: the names of all processes' pieces, and the rows of each tensor.
    """
    names = [f"{PREFIX}{update}-{r + 1}of{world()}.safetensors" for r in range(world())]
    piece = {place: _take(state, place).contiguous().cpu() for place in shards}
    with atomic_path(folder / names[rank()]) as temporary:
        save_file(piece, temporary)
    return {"files": names, "rows": {place: every for place, (_, every) in shards.items()}}


def load_pieces(folder: Path, told: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Put the rows that this process holds of each sharded tensor back into a state.

    Process r of N holds rows r s to (r + 1) s, s = ceil(rows / N).

    Args:
        folder: Of the checkpoints.
        told: What `save_piece` returned.
        state: Of the step.

    Raises:
        TrainingError: A piece is missing or damaged.
    """
    paths = [folder / name for name in told["files"]]
    for place, rows in told["rows"].items():
        size = -(-rows // world())
        start = min(rank() * size, rows)
        owner, key = _find(state, place)
        owner[key] = _read(paths, place, start, min(start + size, rows))


def remove_pieces(folder: Path, kept: Sequence[str]) -> None:
    """Remove the pieces of older checkpoints."""
    for path in folder.glob(f"{PREFIX}*.safetensors"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _read(paths: Sequence[Path], place: str, start: int, stop: int) -> Tensor:
    """Return rows of a tensor whose rows lie in several files one after another."""
    parts, before = [], 0
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                rows = file.get_slice(place)
                count = rows.get_shape()[0]
                low, high = max(start - before, 0), min(stop - before, count)
                parts.append(rows[low:high] if low < high else file.get_tensor(place)[:0])
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"{path} is missing or damaged, and {path.parent / 'last.pt'} needs it: "
                "put it back, or train anew"
            ) from error
        before += count
    return torch.cat(parts)


def _take(state: dict[str, Any], place: str) -> Tensor:
    """Leave a tensor out of the state and return it; whose dicts it shares stay as they are."""
    *way, key = place.split("/")
    owner: dict[Any, Any] = state
    for part in map(_key, way):
        owner[part] = copy(owner[part])
        owner = owner[part]
    value = owner.pop(key)
    assert isinstance(value, Tensor)
    return value


def _find(state: dict[str, Any], place: str) -> tuple[dict[Any, Any], str]:
    """Return the dict that a place lies in, and its key there."""
    *way, key = place.split("/")
    owner: dict[Any, Any] = state
    for part in map(_key, way):
        owner = owner[part]
    return owner, key


def _key(part: str) -> str | int:
    return int(part) if part.isdigit() else part
