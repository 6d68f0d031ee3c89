"""A learned quality of faces, from an ONNX file."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.errors import ModelError
from facever.models.onnx.engine import open_engine
from facever.models.onnx.file import names, read_onnx


class OnnxQuality:
    """A learned quality model, for `FaceCropper(learned_quality=)` and `quality_of(learned=)`.

    Args:
        path: A model with one image as its input, [1 or N, 3, H, W] or [1 or N, H, W, 3] in RGB,
            and one number as its output.
        mean: Subtracted from the pixels (0 to 255).
        std: What they are divided by then.
        scale: What the output is multiplied by to be 0 to 100.

    Attributes:
        sha256: Of the file.

    Raises:
        ModelError: The file cannot be read, or has other inputs or outputs.
    """

    def __init__(
        self, path: str | Path, *, mean: float = 127.5, std: float = 127.5, scale: float = 100.0
    ) -> None:
        self._arguments = (Path(path), mean, std, scale)
        file = read_onnx(Path(path))
        shape = file.inputs[0].shape if len(file.inputs) == 1 else None
        if shape is None or len(shape) != 4 or 3 not in shape[1::2] or len(file.outputs) != 1:
            raise ModelError(
                f"{path} is not a quality model: it needs one image [N, 3, H, W] or [N, H, W, 3] "
                f"as its input and one output; its inputs are {names(file.inputs)}"
            )
        self.sha256 = file.sha256
        self._engine = open_engine(file, file.outputs[0].name)
        self._channels_first = shape[1] == 3
        height, width = (side or 112 for side in (shape[2:] if shape[1] == 3 else shape[1:3]))
        self._size = width, height

    def __reduce__(self) -> tuple[object, ...]:
        return _again, self._arguments

    def __call__(self, crop: NDArray[np.uint8]) -> float:
        """Return the quality of an aligned crop, uint8 [112, 112, 3] RGB, 0 to 100."""
        _, mean, std, scale = self._arguments
        resized = cv2.resize(crop, self._size, interpolation=cv2.INTER_AREA)
        pixels = ((resized.astype(np.float32) - mean) / std)[None]
        if self._channels_first:
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return float(self._engine.run(pixels).reshape(-1)[0]) * scale


def _again(path: Path, mean: float, std: float, scale: float) -> OnnxQuality:
    return OnnxQuality(path, mean=mean, std=std, scale=scale)
