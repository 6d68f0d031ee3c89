"""The only imports of onnx (for changing files) and of onnxruntime."""

import os
from typing import Any

from facever.core.extras import install_command
from facever.errors import ModelError


def onnx_package() -> Any:
    """Return the module `onnx`.

    Raises:
        ModelError: It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModelError(
            f"this needs the package onnx, which is not installed: {install_command('onnx')}"
        ) from error
    return onnx


def onnxruntime_package() -> Any:
    """Import onnxruntime without its telemetry.

    From version 1.32 on it writes an identifier of the device to the home folder and can send usage
    statistics, unless ORT_DISABLE_TELEMETRY is set when it is imported.

    Raises:
        ModelError: It is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "ONNX models need onnxruntime, which is not installed: "
            f"{install_command('onnxruntime')}"
        ) from error
    return onnxruntime
