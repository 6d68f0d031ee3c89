"""What every engine checks of a model: its input, its output, and errors in one line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import ModelError

_LONGEST = 300  # characters of an engine's message


def require_image_input(
    path: Path, inputs: Sequence[tuple[str, type[np.generic] | None, object]]
) -> type[np.generic]:
    """Return the NumPy type of a model's only input.

    Args:
        path: The model's file.
        inputs: Name, type (None where it is not one of images) and shape of each input.

    Raises:
        ModelError: There are several inputs, none, or one of another type.
    """
    if len(inputs) == 1 and inputs[0][1] is not None:
        return inputs[0][1]
    what = ", ".join(f"{name} {shape}" for name, _, shape in inputs) or "none"
    raise ModelError(
        f"{path} must have one input of images, float32, float16 or uint8; it has: {what}"
    )


def vectors_of(found: Any, path: Path, output: str) -> NDArray[np.float32]:
    """Return what a model gave, as float32.

    Raises:
        ModelError: It is no array of floats.
    """
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        kind = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
        raise ModelError(f"{path}: output '{output}' is {kind}, not an embedding")
    return found.astype(np.float32, copy=False)


def one_line(text: str) -> str:
    """Return an engine's message in one line, shortened."""
    said = " ".join(text.split())
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."
