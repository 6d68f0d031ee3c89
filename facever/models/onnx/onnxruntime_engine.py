"""onnxruntime: a session of one thread, and its errors in one line."""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facever.errors import ConfigError, ModelError
from facever.models.onnx.engine_checks import one_line, require_image_input, vectors_of
from facever.models.onnx.file import OnnxFile
from facever.models.onnx.package import onnxruntime_package
from facever.models.onnx.packed_weights import has_packed_weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped,unused-ignore]

_FATAL_ONLY = 4  # of onnxruntime's severities: its errors are raised, its warnings are not ours
_CODE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : (Failed to load model with error: )?"
    r"(/\S+\.(cc|h):\d+ [^)]*\) )?"
)  # and its C++ place
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


class OnnxruntimeEngine:
    """A model in onnxruntime; see `open_engine`.

    Attributes:
        input, shape, version: See `Engine`.

    Raises:
        ConfigError: A precision other than "fp32".
        ModelError: onnxruntime is not installed, or cannot take the model.
    """

    def __init__(self, file: OnnxFile, output: str, precision: str = "fp32") -> None:
        if precision != "fp32":
            raise ConfigError(
                f"precision is '{precision}': onnxruntime computes in the numbers of the file "
                "(allowed: fp32; openvino has bf16)"
            )
        self._path, self._output = file.path, output
        self._session = _session(file)
        given = self._session.get_inputs()
        self._type = require_image_input(
            file.path, [(one.name, _TYPES.get(one.type), one.shape) for one in given]
        )
        self.input, self.version = given[0].name, str(onnxruntime_package().__version__)
        self.shape = [n if isinstance(n, int) and n > 0 else None for n in given[0].shape]

    @property
    def takes_levels(self) -> bool:
        """See `Engine`."""
        return self._type is np.uint8

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine`."""
        try:
            given = {self.input: images.astype(self._type, copy=False)}
            found: Any = self._session.run([self._output], given)[0]
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise ModelError(f"{self._path} fails on images: {_reason(error)}") from error
        return vectors_of(found, self._path, self._output)


def _session(file: OnnxFile) -> "InferenceSession":
    ort = onnxruntime_package()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    if has_packed_weights(file):  # otherwise they are unpacked again for every image
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        session: InferenceSession = ort.InferenceSession(
            file.content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no class of their own
        reason, remedy = _reason(error), "check it where it was made (onnx.checker)"
        if "opset" in reason.lower() or "IR version" in reason:
            remedy = (
                "update onnxruntime (pip install -U onnxruntime), or export the model with a lower "
                "opset"
            )
        raise ModelError(
            f"onnxruntime {ort.__version__} cannot take {file.path} (opset {file.opset}): "
            f"{reason}; {remedy}"
        ) from error
    return session


def _reason(error: Exception) -> str:
    return one_line(_CODE.sub("", str(error)))
