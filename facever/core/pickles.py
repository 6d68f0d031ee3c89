"""Pickles of other tools, read without running anything that is in them.

What a pickle calls to build a value is replaced by functions of this file, which check what they
are given: NumPy's own would take a data type that reads bytes as pointers, or allocate any size.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facever.core.files import read_regular
from facever.errors import DataError

_MOST_BYTES = 16_000_000_000
_TYPE = re.compile(r"[?biufSUO]\d*")
_REMEDY = (
    "facever reads lists, tuples, dictionaries, texts, bytes, numbers, booleans and NumPy arrays "
    "from a pickle, and nothing else"
)


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
        _check_memo(content)
        return _Restricted(io.BytesIO(content), encoding="bytes").load(), content
    except Exception as error:  # damage can make pickle and NumPy raise anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is not {what} ({reason}): {_REMEDY}") from error


class _Restricted(pickle.Unpickler):
    """Builds lists, tuples, dictionaries, texts, bytes, numbers, booleans and NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        of_numpy = module in _NUMPY
        found = _OF_NUMPY.get(name) if of_numpy else _ALLOWED.get(f"{module}.{name}")
        if found is not None:
            return found
        hint = ": save tensors as arrays (tensor.cpu().numpy())" if module[:5] == "torch" else ""
        raise pickle.UnpicklingError(f"it holds {module}.{name}{hint}")

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002
        raise pickle.UnpicklingError("it refers to something outside the file")


def _check_memo(content: bytes) -> None:
    """Refuse a pickle that numbers its memo freely: 9 bytes can make it allocate gigabytes."""
    most = 0
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            most += 1
            if not isinstance(argument, int) or argument > most:
                raise pickle.UnpicklingError(f"its memo begins at {argument}")


class _Call:
    """A function that a pickle may call, and cannot change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


class _Type:
    """A data type: booleans, numbers, bytes, texts or Python objects; no structures."""

    __slots__ = ("dtype",)

    def __init__(self, said: Any, align: Any = False, copy: Any = False) -> None:  # noqa: ARG002
        text = _text(said)
        if not _TYPE.fullmatch(text):
            raise pickle.UnpicklingError(f"it holds an array of type {text[:20]!r}")
        self.dtype = np.dtype(object if text[0] == "O" else text)

    def __setstate__(self, state: Any) -> None:
        order, *structure = state[1:5]
        if structure != [None, None, None] or _text(order) not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it holds an array of structures")
        if _text(order) in "<>":
            self.dtype = self.dtype.newbyteorder(_text(order))  # type: ignore[arg-type]


class _Array(np.ndarray):
    """An array that is filled from checked values."""

    def __setstate__(self, state: Any) -> None:
        shape, kind, fortran, values = state[-4:]
        size = _size(shape)
        held = len(values) if kind.dtype.hasobject else len(values) / max(kind.dtype.itemsize, 1)
        if not isinstance(values, list if kind.dtype.hasobject else bytes) or held != size:
            raise pickle.UnpicklingError(f"it holds an array of shape {shape} with other values")
        super().__setstate__((1, shape, kind.dtype, bool(fortran), values))  # type: ignore[arg-type]


def _empty(kind: Any, shape: Any, letter: Any) -> np.ndarray:
    """Return an array before it is filled, as every pickle begins one."""
    if kind is not _NDARRAY or _size(shape) or len(shape) != 1 or _text(letter) != "b":
        raise pickle.UnpicklingError("it holds an array that no tool writes")
    return np.ndarray.__new__(_Array, (0,), "b")


def _from_bytes(values: Any, kind: _Type, shape: Any, order: Any) -> np.ndarray:
    """Return an array as protocol 5 writes it."""
    _size(shape)
    return np.frombuffer(values, kind.dtype).reshape(shape, order=_text(order))  # type: ignore[call-overload, no-any-return]


def _scalar(kind: _Type, value: Any) -> Any:
    return np.frombuffer(value, kind.dtype, count=1)[0]


def _encode(text: Any, coding: Any) -> bytes:
    """Return bytes, as Python 3 writes them for Python 2."""
    if not isinstance(text, str) or _text(coding) not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it calls _codecs.encode for {coding!r}")
    return text.encode("latin1")


def _byte_array(values: Any = b"", coding: Any = "latin1") -> bytearray:
    return bytearray(values if isinstance(values, bytes) else _encode(values, coding))


def _refuse_class(*_: Any) -> None:
    raise pickle.UnpicklingError("it calls numpy.ndarray")


def _size(shape: Any) -> int:
    if not isinstance(shape, tuple) or not all(type(one) is int and one >= 0 for one in shape):
        raise pickle.UnpicklingError(f"it holds an array of shape {shape!r}")
    return math.prod(shape)


def _text(value: Any) -> str:
    """Return an ASCII text, which is bytes in a pickle of Python 2."""
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


_PARTS = ("multiarray", "numeric")
_NDARRAY = _Call(_refuse_class)  # only an argument of the others
_ALLOWED: dict[str, Any] = {
    "_codecs.encode": _Call(_encode),
    "builtins.bytearray": _Call(_byte_array),
    "__builtin__.bytearray": _Call(_byte_array),
    "collections.OrderedDict": _Call(dict),
    "numpy.dtype": _Type,
    "numpy.ndarray": _NDARRAY,
}
_OF_NUMPY: dict[str, Any] = {
    "_reconstruct": _Call(_empty),
    "_frombuffer": _Call(_from_bytes),
    "scalar": _Call(_scalar),
}
_NUMPY = tuple(f"numpy.{core}.{part}" for core in ("core", "_core") for part in _PARTS)
