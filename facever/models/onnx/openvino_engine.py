"""OpenVINO: a compiled model of one thread per stream, on the CPU, and its errors in one line.

Reference: OpenVINO, CPU device (inference precision, streams), docs.openvino.ai.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.data.machine import usable_cpus
from facever.errors import ConfigError, ModelError
from facever.models.onnx.engine_checks import one_line, require_image_input, vectors_of
from facever.models.onnx.file import OnnxFile
from facever.models.onnx.packed_weights import has_packed_weights, with_float_weights

_HINTS = {"fp32": "f32", "bf16": "bf16"}  # of INFERENCE_PRECISION_HINT
_TYPES: dict[str, type[np.generic]] = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}
_TELEMETRY = "openvino_telemetry"

# OpenVINO's binding prepares itself in the first run of a process: of two threads that do so at the
# same time each waits for the other.
_started, _first = threading.Event(), threading.Lock()


class OpenvinoEngine:
    """A model in OpenVINO; see `open_engine`.

    Images are computed one at a time, also those of a model with a free batch. Each thread that
    calls `run` has a request and a stream of one thread. OpenVINO chooses bf16 itself where the
    processor has it: the precision is always stated. Compiled models are not cached on disk.

    Attributes:
        input, shape, version: See `Engine`.

    Raises:
        ConfigError: An unknown precision, or bf16 on a processor without it.
        ModelError: OpenVINO is not installed, or cannot take the model.
    """

    def __init__(self, file: OnnxFile, output: str, precision: str = "fp32") -> None:
        if precision not in _HINTS:
            allowed = ", ".join(_HINTS)
            raise ConfigError(f"precision is '{precision}' (allowed of openvino: {allowed})")
        package = _imported()
        self._path, self._output, self.version = file.path, output, _short(package.__version__)
        core = _kept(package.Core)
        if precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise ConfigError("precision is 'bf16': this processor has no bf16 (allowed: fp32)")
        content = with_float_weights(file) if has_packed_weights(file) else file.content
        try:
            model = core.read_model(model=content)
            self._type, self.input, self.shape = self._input_of(model)
            if None not in self.shape[1:]:
                model.reshape([self.shape[0] or 1, *self.shape[1:]])
            self._compiled = core.compile_model(model, "CPU", _settings(precision))
            self._port = self._compiled.output(output)
        except RuntimeError as error:
            raise ModelError(
                f"openvino {self.version} cannot take {file.path} (opset {file.opset}): "
                f"{one_line(str(error))}; use --engine onnxruntime"
            ) from error
        self._idle: deque[Any] = deque()  # requests that no thread uses

    @property
    def takes_levels(self) -> bool:
        """See `Engine`."""
        return self._type is np.uint8

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine`."""
        given = images.astype(self._type, copy=False)
        if self.shape[0] is None:
            parts = [self._infer(given[i : i + 1]) for i in range(len(given))]
            return np.concatenate(parts)
        return self._infer(given)

    def _infer(self, images: NDArray[Any]) -> NDArray[np.float32]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        first = nullcontext() if _started.is_set() else _first
        try:
            with first:
                found = np.array(request.infer([images])[self._port])  # the request is used again
            _started.set()
        except RuntimeError as error:
            raise ModelError(f"{self._path} fails on images: {one_line(str(error))}") from error
        finally:
            self._idle.append(request)
        return vectors_of(found, self._path, self._output)

    def _input_of(self, model: Any) -> tuple[type[np.generic], str, list[int | None]]:
        inputs = [
            (one.any_name, _TYPES.get(one.element_type.get_type_name()), one.partial_shape)
            for one in model.inputs
        ]
        kind = require_image_input(self._path, inputs)
        name, _, shape = inputs[0]
        return kind, name, [n.get_length() if n.is_static else None for n in shape]


def _settings(precision: str) -> dict[str, Any]:
    streams = usable_cpus()
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "EXECUTION_MODE_HINT": "ACCURACY",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        "ENABLE_CPU_PINNING": False,
        "CACHE_DIR": "",
    }


@cache
def _kept(kind: Callable[[], Any]) -> Any:
    """Return the process's one core, which is never freed.

    Its CPU plugin gives the thread that makes it another stack for signals, and frees that stack
    with itself, also where it is still in use: the next signal would end the process.
    """
    return kind()


def _imported() -> Any:
    """Return the module `openvino`.

    Its import sends usage statistics and writes to the home folder where the package
    openvino-telemetry is found: this import does not find it.
    """
    hidden = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise ModelError(
            "engine openvino is not installed: pip install 'facever[openvino]'"
        ) from error
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
    return openvino


def _short(version: str) -> str:
    """Return 2026.4.1 of 2026.4.1-22982-e213a147257-releases/2026/4."""
    return version.partition("-")[0]
