"""Pickles of other tools, read without running anything that is in them."""

import io
import pickle
from pathlib import Path
from typing import Any

from facever.core.files import read_regular
from facever.errors import DataError

_MOST_BYTES = 16_000_000_000
_NUMPY = {"_reconstruct", "scalar", "_frombuffer"}
_ALLOWED = {
    ("_codecs", "encode"),  # bytes, as Python 3 writes them for Python 2
    ("builtins", "bytearray"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
}


class _Restricted(pickle.Unpickler):
    """Builds lists, tuples, dictionaries, texts, bytes, numbers, booleans and NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        of_numpy = module.split(".")[0] == "numpy" and name in _NUMPY
        if (module, name) in _ALLOWED or (of_numpy and module.endswith(("multiarray", "numeric"))):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002
        raise pickle.UnpicklingError("it refers to something outside the file")


def read_pickle(path: Path, what: str) -> tuple[Any, bytes]:
    """Return what a pickle holds, of Python 2 or 3, and the bytes of the file.

    Texts of Python 2 are bytes.

    Args:
        path: The file.
        what: What it must be, for the error.

    Raises:
        DataError: It cannot be read, is damaged, or holds anything but lists, tuples, dictionaries,
            texts, bytes, numbers, booleans and NumPy arrays.
    """
    try:
        content = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not {what}: {error}") from error
    try:
        return _Restricted(io.BytesIO(content), encoding="bytes").load(), content
    except Exception as error:  # damage can make pickle and NumPy raise anything
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{path} is not {what} ({reason}): facever reads lists, bytes, booleans and NumPy "
            "arrays from a pickle, and nothing else"
        ) from error
