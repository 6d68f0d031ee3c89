"""Parquet files whose rows have a vector: a column of lists, or columns f0, f1, ... of numbers.

Reference:
    Apache Parquet, "Nested types" (LIST); Apache Arrow, "Columnar format" (fixed-size lists).
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from facever.core.files import open_regular
from facever.embedding_files.arrays import EmbeddingFile, StoredArray

_WIDE = re.compile(r"(.*?)_?(\d+)")
_FEWEST_WIDE = 2
_BUFFER = 2**20  # bytes that are read at a time, instead of whole columns


def open_parquet(path: Path, held: ExitStack) -> EmbeddingFile:
    """Open a Parquet file; a column of nested lists is not read."""
    opened = held.enter_context(open_regular(path))
    file = held.enter_context(parquet.ParquetFile(opened, buffer_size=_BUFFER, pre_buffer=False))
    schema, rows = file.schema_arrow, file.metadata.num_rows
    arrays: dict[str, StoredArray] = {}
    unread = {}
    wide = _wide_columns(schema)
    for name, columns in wide.items():
        shape = (rows, len(columns))
        arrays[name] = _Columns(
            file, columns, shape, np.dtype(schema.field(columns[0]).type.to_pandas_dtype())
        )
    taken = {column for columns in wide.values() for column in columns}
    for field in schema:
        kind = field.type
        if field.name in taken or field.name.startswith("__index_level_"):
            continue
        if _is_list(kind) and pa.types.is_primitive(kind.value_type):
            dtype = np.dtype(kind.value_type.to_pandas_dtype())
            arrays[field.name] = _Lists(file, field.name, (rows, _width(file, field)), dtype)
        elif pa.types.is_nested(kind):
            unread[field.name] = f"of type {kind}"
        else:
            arrays[field.name] = _Column(file, field.name, (rows,), np.dtype(object))
    return EmbeddingFile(path, "embeddings-parquet", arrays, unread)


def has_vectors(path: Path) -> bool:
    """Return whether a Parquet file has columns of vectors."""
    with open_regular(path) as opened:
        schema = parquet.ParquetFile(opened).schema_arrow
    return bool(_wide_columns(schema)) or any(
        _is_list(one.type) and pa.types.is_floating(one.type.value_type) for one in schema
    )


@dataclass(frozen=True)
class _Column:
    """A column of single values."""

    file: parquet.ParquetFile
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `rows` at a time."""
        for batch in self.file.iter_batches(rows, columns=[self.name], use_threads=False):
            values = batch.column(0).to_pandas(integer_object_nulls=True)
            yield values.to_numpy(dtype=object)


@dataclass(frozen=True)
class _Columns:
    """A matrix whose columns are columns of the file; a missing value is NaN."""

    file: parquet.ParquetFile
    names: list[str]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `rows` at a time."""
        for batch in self.file.iter_batches(rows, columns=self.names, use_threads=False):
            columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in self.names]
            yield np.stack(columns, axis=1)


@dataclass(frozen=True)
class _Lists:
    """A column of lists of equal length; a missing list is a row of NaN."""

    file: parquet.ParquetFile
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, `rows` at a time."""
        first = 0
        for batch in self.file.iter_batches(rows, columns=[self.name], use_threads=False):
            yield self._matrix(batch.column(0), first)
            first += len(batch)

    def _matrix(self, lists: Any, first: int) -> NDArray[Any]:
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
        present = lists.is_valid().to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(present & (lengths != self.shape[1]))
        if len(wrong):
            raise ValueError(
                f"row {first + wrong[0]} of column '{self.name}' has {lengths[wrong[0]]:g} values, "
                f"others have {self.shape[1]}"
            )
        flat: NDArray[Any] = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
        if present.all():
            return flat.reshape(len(lists), self.shape[1])
        made = np.full((len(lists), self.shape[1]), np.nan, self.dtype)
        made[present] = flat.reshape(-1, self.shape[1])
        return made


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _width(file: parquet.ParquetFile, field: pa.Field) -> int:
    """Return the length of the lists of a column: of the first one that is not missing."""
    if pa.types.is_fixed_size_list(field.type):
        return int(field.type.list_size)
    for batch in file.iter_batches(64, columns=[field.name], use_threads=False):
        lengths = pc.drop_null(pc.list_value_length(batch.column(0)))
        if len(lengths):
            return int(lengths[0].as_py())
    return 0


def _wide_columns(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the columns of numbers that are called PREFIX0, PREFIX1, ..., by prefix."""
    found: dict[str, dict[int, str]] = {}
    for field in schema:
        said = _WIDE.fullmatch(field.name)
        if said and pa.types.is_floating(field.type):
            found.setdefault(said[1], {})[int(said[2])] = field.name
    return {
        prefix or "columns": [columns[number] for number in sorted(columns)]
        for prefix, columns in found.items()
        if len(columns) >= _FEWEST_WIDE
        and sorted(columns) == list(range(min(columns), min(columns) + len(columns)))
        and min(columns) <= 1
    }
