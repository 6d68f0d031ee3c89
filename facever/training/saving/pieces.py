"""Checkpoints of what each process holds a shard of: a piece from each, read again on any number.

They are PyTorch's distributed checkpoints of DTensors that lie in shards of their rows, written as
safetensors, for PyTorch's own format has a pickle. The replicated state names their folder and is
written last, so that a checkpoint is whole or not there.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from facever.core.files import naming, sha256_of_file
from facever.core.processes import from_main, gather_objects, is_main, rank, world
from facever.errors import TrainingError
from facever.heads.classes.layout import is_sharded, shard_of

Shards = dict[str, int]
"""From a sharded tensor's place in the state, as keys joined by "/", to the rows of all shards."""

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


def save_pieces(folder: Path, update: int, state: dict[str, Any], shards: Shards) -> dict[str, Any]:
    """Write the shards of all processes, and take them out of the state; every one must call it.

    Args:
        folder: Of the checkpoints.
        update: Number of updates done, for the name.
        state: Of the step; the tensors at the places are left out of it.
        shards: Their places.

    Returns:
        What `load_pieces` needs: the name of the new folder, the rows of each tensor, and the
        SHA-256 of each file.

    Raises:
        OSError: The disk is full, in one of the processes.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    path = from_main(_new_folder(folder, update) if is_main() else folder)
    tensors = {place: _sharded(_take(state, place), rows) for place, rows in shards.items()}
    writer = HuggingFaceStorageWriter(
        str(path),
        fqn_to_index_mapping={place: number for number, place in enumerate(tensors, 1)},
        save_distributed=True,
    )
    with naming(path), _as_in_one_process():
        save(tensors, storage_writer=writer, no_dist=world() == 1)
    return {"folder": path.name, "rows": shards, "sha256": _digests(path)}


def load_pieces(folder: Path, told: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Put the rows that this process holds of each sharded tensor back into a state.

    Args:
        folder: Of the checkpoints.
        told: What `save_pieces` returned.
        state: Of the step.

    Raises:
        TrainingError: A piece is missing or damaged.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    path = folder / told["folder"]
    try:
        if "sha256" in told and _digests(path) != told["sha256"]:  # not in older checkpoints
            raise OSError
        reader = HuggingFaceStorageReader(str(path))
        written: Any = reader.read_metadata().state_dict_metadata
        tensors: dict[str, Any] = {}
        for place, rows in told["rows"].items():
            whole = written[place]
            if sum(int(chunk.sizes[0]) for chunk in whole.chunks) != rows:
                raise KeyError(place)
            own = torch.empty(shard_of(rows)[1], *whole.size[1:], dtype=whole.properties.dtype)
            tensors[place] = _sharded(own, rows)
        with _as_in_one_process():
            load(tensors, storage_reader=reader, no_dist=world() == 1)
    except (OSError, KeyError, SafetensorError) as error:
        raise TrainingError(
            f"a file of {path} is missing or damaged, and {folder / 'last.pt'} needs it: "
            "restore it, or train again"
        ) from error
    for place, tensor in tensors.items():
        owner, key = _find(state, place)
        owner[key] = tensor if world() == 1 else tensor.to_local()


def remove_pieces(folder: Path, kept: str | None) -> None:
    """Remove the pieces of older checkpoints."""
    for path in folder.glob(f"{PREFIX}*"):
        if path.is_dir() and path.name != kept:
            rmtree(path, ignore_errors=True)


def _digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file, each taken by one of the processes; all must call it."""
    gather_objects(None)  # all have written by now
    files = sorted(path.iterdir()) if path.is_dir() else []
    own = {file.name: _digest(file) for file in files[rank() :: world()]}
    return {name: digest for part in gather_objects(own) for name, digest in part.items()}


def _digest(file: Path) -> str:
    try:
        return sha256_of_file(file)
    except OSError:  # the others wait for an answer
        return ""


def _new_folder(folder: Path, update: int) -> Path:
    """Make a folder beside those of earlier checkpoints, of the same update too."""
    names = (f"{PREFIX}{update}-{number}" for number in count(1))
    path = next(folder / name for name in names if not (folder / name).exists())
    path.mkdir(parents=True)
    return path


def _sharded(own: Tensor, rows: int) -> Tensor:
    """Return the DTensor whose shard this process holds; in one process the tensor itself."""
    own = own.contiguous().cpu()
    if world() == 1:
        return own
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    shape = torch.Size([rows, *own.shape[1:]])
    return DTensor.from_local(
        own,
        init_device_mesh("cpu", (world(),)),
        [Shard(0)],
        run_check=False,
        shape=shape,
        stride=torch.empty(shape, device="meta").stride(),
    )


@contextmanager
def _as_in_one_process() -> Iterator[None]:
    """Raise what failed in a process as it is, and leave out that one process is not several."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield
    except CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from None


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


def _find(state: dict[str, Any], place: str) -> tuple[dict[str, Any], str]:
    """Return the dict that a place lies in, and its key there."""
    *way, key = place.split("/")
    owner: dict[Any, Any] = state
    for part in map(_key, way):
        owner = owner[part]
    return owner, key


def _key(part: str) -> str | int:
    return int(part) if part.isdigit() else part
