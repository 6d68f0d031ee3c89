"""Engines of ONNX models: one interface, onnxruntime and OpenVINO.

An engine computes a run with one thread, whatever the machine; `OnnxModel` spreads images over the
cores. The vectors then do not depend on the number of cores.
"""

from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facever.errors import ConfigError, unknown
from facever.models.onnx.file import OnnxFile

OnnxEngine: TypeAlias = Literal["onnxruntime", "openvino"]
ENGINES: tuple[OnnxEngine, ...] = ("onnxruntime", "openvino")


class Engine(Protocol):
    """A model in an engine: one input, one output.

    Attributes:
        input: Name of the input.
        shape: Of the input: a number per dimension, None where it is free.
        version: Of the engine's package.
    """

    input: str
    shape: list[int | None]
    version: str

    @property
    def takes_levels(self) -> bool:
        """Whether the input is uint8: levels 0 to 255 without normalisation."""

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for a batch of the input's shape, float32. Several threads may call.

        Raises:
            ModelError: It fails.
        """


def open_engine(
    file: OnnxFile, output: str, engine: str = "onnxruntime", precision: str = "fp32"
) -> Engine:
    """Load a model into an engine, on the CPU.

    Args:
        file: The model; its numbers are in the file itself.
        output: Name of the output.
        engine: One of `ENGINES`.
        precision: What float layers are computed in: "fp32", or of OpenVINO "bf16".

    Raises:
        ConfigError: Unknown engine, or a precision that the engine or the processor does not have.
        ModelError: The engine is not installed, or cannot read the model.
    """
    if engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    if engine == "openvino":
        from facever.models.onnx.openvino_engine import OpenvinoEngine

        return OpenvinoEngine(file, output, precision)
    from facever.models.onnx.onnxruntime_engine import OnnxruntimeEngine

    return OnnxruntimeEngine(file, output, precision)
