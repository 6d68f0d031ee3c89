"""Import of embeddings that other tools computed, as an embedding set."""

from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.files import atomic_folder
from facever.data.tables import typed
from facever.embedding_files.arrays import EmbeddingFile, read_blocks, told, whole
from facever.embedding_files.choice import FileTable, choose, names_of, unused_in
from facever.embedding_files.formats import open_file
from facever.embedding_files.labels import as_column, read_labels
from facever.embedding_files.writing import write_vectors
from facever.embeddings.embedding_set import (
    META,
    VECTORS,
    EmbeddingSet,
    refuse_to_replace,
    write_tables,
)
from facever.embeddings.meta import UNDECLARED, EmbeddingMeta
from facever.errors import DataError, unknown

FAILURES = ("refuse", "nan", "zero")
AXES = ("rows", "columns")
IMPORTED = "imported"  # option of an embedding set: what was read
_FLOATS = tuple(np.dtype(kind) for kind in ("f2", "f4", "f8"))


def import_embeddings(
    file: str | Path,
    out: str | Path,
    *,
    labels: str | Path | None = None,
    space: str | None = None,
    dataset: str | None = None,
    vectors: str | None = None,
    identities: str | None = None,
    vectors_in: str | None = None,
    failures: str = "refuse",
    overwrite: bool = False,
) -> EmbeddingSet:
    """Write embeddings of another tool as an embedding set, block by block.

    Read are .npy, .npz, HDF5, MATLAB's .mat, Parquet, pickles and files of torch.save; see
    docs/embeddings.md. Vectors of unit length stay as they are; others are divided by their
    lengths, which become the column `norm`.

    Args:
        file: Vectors [N, D] of float16, float32 or float64, and possibly arrays [N] of identities,
            cameras, paths or other columns. Files with vectors of queries and of a gallery get a
            column `subset`.
        out: The folder to write.
        labels: Labels in a file of their own, see `read_labels`. Its columns replace those of
            `file`. A column `norm` has the lengths before normalisation of unit vectors, a column
            `error` the reason why an image has no vector.
        space: The declared origin of the vectors, the fingerprint of the embedding set: any text
            that identifies the model and its options. Without one, the set is "undeclared": it can
            be evaluated, but not enrolled in a gallery.
        dataset: Short name of the data set; by default the file's name without suffix.
        vectors: Name of the array of vectors.
        identities: Name of the array of identities, or of the column of `labels`.
        vectors_in: "rows" for [N, D], "columns" for [D, N]; by default [N, D], and in MATLAB's
            files what the number of labels says.
        failures: "refuse", or how `file` marks an image without a vector: "nan" or "zero" for a
            row that is NaN or zero in all of its values.
        overwrite: Whether an existing embedding set at `out` is replaced.

    Returns:
        The embedding set at `out`; its `meta.options["imported"]` says what was read.

    Raises:
        DataError: A file cannot be read, it is ambiguous what is meant, lengths differ, or a vector
            is of integers, NaN, infinite or zero; or `out` exists.
    """
    path, folder = Path(file), Path(out)
    if failures not in FAILURES:
        raise DataError(unknown("value of failures", failures, FAILURES))
    if vectors_in is not None and vectors_in not in AXES:
        raise DataError(unknown("value of vectors_in", vectors_in, AXES))
    refuse_to_replace(folder)
    if not overwrite and (folder / META).is_file():
        raise DataError(
            f"{folder} already contains an embedding set: choose another path, or overwrite it "
            "(--overwrite, overwrite=True)"
        )
    given = None if labels is None else read_labels(Path(labels), identities)
    named = None if labels is not None else identities
    with open_file(path) as opened:
        rows = None if given is None else len(given)
        tables = choose(opened, vectors, named, vectors_in, rows)
        _check(opened, tables, rows, labels)
        table = _rows(opened, tables, given)
        options = {
            "file": path.name,
            "layout": opened.layout,
            "vectors": [f"{one.vectors_name} {told(one.vectors)}" for one in tables],
            "columns": names_of(tables),
            "labels": None if labels is None else Path(labels).name,
            "unused": unused_in(tables),
        }
        meta = EmbeddingMeta(
            space or UNDECLARED,
            tables[0].vectors.shape[1],
            dataset=path.stem if dataset is None else dataset,
            options={IMPORTED: options},
        )
        with atomic_folder(folder, private=True) as temporary:
            blocks = _blocks(opened, tables)
            target = temporary / VECTORS
            done = write_vectors(target, blocks, meta.dimension, table, failures, path)
            write_tables(temporary, done, meta, None)
    return EmbeddingSet.load(folder)


def _check(
    opened: EmbeddingFile, tables: list[FileTable], rows: int | None, labels: str | Path | None
) -> None:
    """Refuse numbers that are no embeddings, and labels of another number of rows."""
    for one in tables:
        where = f"{opened.path}: '{one.vectors_name}' {told(one.vectors)}"
        if one.vectors.dtype.newbyteorder("=") not in _FLOATS:
            raise DataError(
                f"{where}: vectors must be float16, float32 or float64: convert them, for example "
                "by array.astype('float32')"
            )
        if not one.vectors.shape[0]:
            raise DataError(f"{where}: no vectors")
        if rows is not None and rows != one.vectors.shape[0]:
            raise DataError(
                f"{labels} has {rows:,} rows, but {where} has {one.vectors.shape[0]:,} vectors: "
                "give one label per vector"
            )
    if len({one.vectors.shape[1] for one in tables}) > 1:
        said = " and ".join(f"'{one.vectors_name}' {told(one.vectors)}" for one in tables)
        raise DataError(f"{opened.path}: the vectors {said} differ in dimension")


def _rows(
    opened: EmbeddingFile, tables: list[FileTable], given: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the columns of all rows, without those of the vectors."""
    made = []
    for one in tables:
        columns = {k: as_column(whole(v, opened.path)) for k, v in one.columns.items()}
        if one.subset is not None:
            columns["subset"] = pd.Series([one.subset] * one.vectors.shape[0])
        made.append(pd.DataFrame(columns, index=range(one.vectors.shape[0])))
    rows = typed(pd.concat(made, ignore_index=True), str(opened.path))
    if given is not None:
        if "path" in rows and "path" in given:
            _check_order(rows["path"], given["path"], opened.path)
        rows = pd.concat([given, rows[[name for name in rows if name not in given]]], axis=1)
    if "identity" not in rows:
        rows["identity"] = pd.array([None] * len(rows), "string")
    return rows


def _check_order(paths: "pd.Series[str]", others: "pd.Series[str]", path: Path) -> None:
    """Refuse labels in another order than the vectors; folders and suffixes can differ."""
    stems = [column.map(lambda one: PurePath(one).stem, "ignore") for column in (paths, others)]
    wrong = (stems[0].notna() & stems[1].notna() & (stems[0] != stems[1])).to_numpy(bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{path}: vector {row} is of image {paths[row]}, but its label is of "
            f"image {others[row]}: write the labels in the order of the vectors"
        )


def _blocks(opened: EmbeddingFile, tables: list[FileTable]) -> Iterator[NDArray[np.floating]]:
    for one in tables:
        yield from read_blocks(one.vectors, opened.path)
