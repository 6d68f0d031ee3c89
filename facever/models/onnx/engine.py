"""onnxruntime: a session of one thread, and its errors in one line.

A session computes with one thread, whatever the machine: images are spread over the cores instead.
The vectors then do not depend on how many cores there are.
"""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import ModelError
from facever.models.onnx.file import OnnxFile

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped,unused-ignore]

_FATAL_ONLY = 4  # of onnxruntime's severities: its errors are raised, its warnings are not ours
_LONGEST = 300  # characters of what onnxruntime says
_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Engine:
    """A model in onnxruntime: one input, one output.

    Args:
        file: The model; its numbers lie in the file itself.
        output: The name of the output.
        content: Its bytes, where they are others than the file's.

    Attributes:
        shape: Of the input: a number a dimension, None where it is free.
        input: Its name.

    Raises:
        ModelError: onnxruntime is not installed, or cannot take the model.
    """

    def __init__(self, file: OnnxFile, output: str, content: bytes | None = None) -> None:
        self._path, self._output = file.path, output
        self._session = _session(file, file.content if content is None else content)
        given = self._session.get_inputs()
        if len(given) != 1 or given[0].type not in _TYPES:
            what = ", ".join(f"{one.name} {one.type} {one.shape}" for one in given) or "none"
            raise ModelError(
                f"{file.path} must have one input of images, float32, float16 or uint8; it has: "
                f"{what}"
            )
        self.input, self._type = given[0].name, _TYPES[given[0].type]
        self.shape = [n if isinstance(n, int) and n > 0 else None for n in given[0].shape]

    @property
    def takes_levels(self) -> bool:
        """Whether it takes uint8: levels 0 to 255 as they are."""
        return self._type is np.uint8

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for a batch of the input's shape, float32; several threads may call.

        Raises:
            ModelError: It fails.
        """
        try:
            given = {self.input: images.astype(self._type, copy=False)}
            found: Any = self._session.run([self._output], given)[0]
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise ModelError(f"{self._path} fails on images: {_reason(error)}") from error
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
            kind = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
            raise ModelError(f"{self._path}: output '{self._output}' is {kind}, not an embedding")
        return found.astype(np.float32, copy=False)


def version() -> str:
    """Return onnxruntime's version."""
    return str(_imported().__version__)


def _session(file: OnnxFile, content: bytes) -> "InferenceSession":
    ort = _imported()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    if _has_weights_of_few_bits(file):  # otherwise they are unpacked again for every image
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        session: InferenceSession = ort.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no class of their own
        reason, remedy = _reason(error), "check it where it was made (onnx.checker)"
        if "opset" in reason.lower() or "IR version" in reason:
            remedy = (
                "update onnxruntime (pip install -U onnxruntime), or export the model with a lower "
                "opset"
            )
        raise ModelError(
            f"onnxruntime {version()} cannot take {file.path} (opset {file.opset}): {reason}; "
            f"{remedy}"
        ) from error
    return session


def _has_weights_of_few_bits(file: OnnxFile) -> bool:
    """Return whether only weights are quantised: such a network computes in float anyway."""
    operators = set(file.makers.values())
    return "DequantizeLinear" in operators and not any(
        "Quant" in name or name.startswith("QLinear") for name in operators - {"DequantizeLinear"}
    )


def _imported() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "ONNX models need onnxruntime, which is not installed: pip install 'facever[onnx]'"
        ) from error
    return onnxruntime


def _reason(error: Exception) -> str:
    said = _CODE.sub("", " ".join(str(error).split()))
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."
