"""Checkpoints: one file with everything that a bit-for-bit resume needs; no pickle is trusted."""

from pathlib import Path
from typing import Any

import torch

from facever.core.files import atomic_path
from facever.core.processes import gather_objects, is_main, rank
from facever.errors import ModelError, TrainingError
from facever.models.weights import read_archive

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically.

    Raises:
        OSError: The disk is full; what stood at `path` is untouched.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save({"format": FORMAT, **state}, file)
        except RuntimeError as error:  # torch's writer complains on top of a full disk
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, its checksums verified.

    Raises:
        TrainingError: Not a checkpoint, damaged, or of a newer format.
    """
    try:
        state = read_archive(path)
    except ModelError as error:
        raise TrainingError(
            f"{path} is not a complete checkpoint: delete it and train again"
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise TrainingError(f"{path} is not a checkpoint of facever")
    if state["format"] != FORMAT:
        raise TrainingError(
            f"{path} has checkpoint format {state['format']}, this version reads {FORMAT}"
        )
    return state


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of torch's own generators (dropout and the like draw from them)."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def random_states(device: torch.device) -> dict[str, Any]:
    """Return `random_state` with those of the other processes in it; every one must call it."""
    first, *others = gather_objects(random_state(device))
    return {**first, "others": others} if others else first


def own_random_state(states: dict[str, Any]) -> dict[str, Any] | None:
    """Return this process's part of `random_states`; None where there were fewer processes."""
    if is_main():
        return states
    others: list[dict[str, Any]] = states.get("others", [])
    return others[rank() - 1] if rank() <= len(others) else None


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Take up what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
