"""The package onnx, imported where files are changed; nothing else needs it."""

from typing import Any

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
            "this needs the package onnx, which is not installed: pip install 'facever[onnx]'"
        ) from error
    return onnx
