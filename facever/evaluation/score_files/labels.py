"""Identities of the rows or columns of a matrix: arrays, lists of text, tables and BEE sigsets."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from facever.core.files import read_regular
from facever.data.tables import check_table, is_table, read_table
from facever.errors import EvaluationError
from facever.evaluation.columns import Names, people_column
from facever.evaluation.score_files.arrays import load_npy

_MOST = 1 << 28  # bytes of a list or sigset
_KINDS = (
    "accepted: .npy [N], a text file with one identity per line, CSV or Parquet with a column "
    "'identity', or a BEE sigset (XML)"
)


def identities_of(given: ArrayLike | str | Path, size: int, side: str, name: str) -> Names:
    """Return the identities of one side of a matrix, str [size].

    Args:
        given: An array [size], or a file: .npy, text with one identity per line, CSV or Parquet
            with a column `identity`, or a BEE sigset.
        size: Number of rows or columns of the matrix.
        side: "rows" or "columns", for messages.
        name: Name of the matrix, for messages.

    Raises:
        EvaluationError: The file cannot be read, the number of identities is not `size`, or one is
            missing or empty.
        DataError: A table cannot be read.
    """
    if isinstance(given, str | Path):
        path = Path(given)
        names, where = _of_file(path, size), str(path)
    else:
        names, where = people_column(_vector(np.asarray(given), side)), f"the identities of {side}"
    if len(names) != size:
        raise EvaluationError(
            f"{where}: {len(names)} identities for the {size} {side} of {name}: give one per "
            f"{side[:-1]}"
        )
    missing = (names.isna() | (names == "")).to_numpy(bool)
    if missing.any():
        raise EvaluationError(f"{where}: identity {int(missing.argmax()) + 1} is missing")
    return names.to_numpy().astype(str)


def _vector(values: "np.ndarray", where: str) -> "np.ndarray":
    if values.ndim != 1 or values.dtype.kind not in "USOiufb":
        raise EvaluationError(
            f"identities of {where} are of shape {values.shape} and type {values.dtype}: give one "
            "text or number for each"
        )
    return values


def _of_file(path: Path, size: int) -> "pd.Series[str]":
    if not path.is_file():
        raise EvaluationError(f"no identities at {path}; {_KINDS}")
    if is_table(path):
        return people_column(check_table(read_table(path), ["identity"], str(path))["identity"])
    try:
        data = read_regular(path, _MOST)
    except ValueError as error:
        raise EvaluationError(f"{path}: {error}") from error
    if data.startswith(b"\x93NUMPY"):
        return people_column(_vector(load_npy(path), str(path)))
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return people_column(sigset_people(data, size, str(path)))
    if b"\0" in data:
        raise EvaluationError(f"{path} is not a list of identities; {_KINDS}")
    try:
        return people_column(data.decode("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8: {error}") from error


def sigset_people(data: bytes, size: int, name: str) -> list[str]:
    """Return the identities of a BEE sigset, one for each row or column of a matrix.

    A `biometric-signature` has the identity as its `name`, and one or several `presentation`s. A
    matrix has a row for each presentation, or one for each signature: the number decides.

    Args:
        data: The XML.
        size: Number of rows or columns.
        name: Name of the file, for messages.

    Raises:
        EvaluationError: It is not a sigset, or neither number is `size`.

    Reference:
        NIST Biometric Experimentation Environment (BEE), signature sets; as read by OpenBR
        (presentations) and PyVision (signatures).
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise EvaluationError(f"{name}: a sigset with a DTD or entities is refused: remove them")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise EvaluationError(f"{name} is not a BEE sigset: {error}") from error
    if _tag(root) != "biometric-signature-set":
        raise EvaluationError(
            f"{name} is not a BEE sigset: it begins with <{_tag(root)}> instead of "
            "<biometric-signature-set>"
        )
    people: list[str] = []
    images: list[str] = []
    for signature in root:
        if _tag(signature) != "biometric-signature":
            continue
        person = signature.get("name", "")
        people.append(person)
        images += [person for one in signature if _tag(one) == "presentation"]
    if size not in (len(images), len(people)):
        raise EvaluationError(
            f"{name} has {len(people)} signatures with {len(images)} presentations, but that side "
            f"of the matrix has {size}: give its own sigset"
        )
    return images if len(images) == size else people


def _tag(element: ElementTree.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]
