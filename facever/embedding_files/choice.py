"""Which arrays of a file are the vectors, the identities and the other columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from facever.embedding_files.arrays import EmbeddingFile, StoredArray, told, turned
from facever.errors import DataError, unknown

VECTORS = "embeddings embedding embs emb features feature feats feat vectors vector descriptors f"
"""Names of the array of vectors; "f" is that of qf and gf, query_f and gallery_f."""

IDENTITIES = (
    "identity identities pid pids person_id person_ids person people subject subjects",
    "label labels target targets y class classes",
    "id ids",
)
"""Names of the array of identities: those of the first group that the file has."""

ROLES = {
    "camera": ("camera cameras cam cams camid camids cam_id cam_ids camera_id camera_ids",),
    "path": (
        "path paths image_path image_paths img_path img_paths",
        "file files filename filenames file_name file_names image_name image_names",
    ),
    "subset": ("subset subsets split splits",),
    "norm": ("norm norms",),
    "error": ("error errors",),
}
"""Other columns of an embedding set, with the names that they have in files."""

_SIDE = re.compile(r"(query|gallery|q|g)[/_.]?(.+)", re.IGNORECASE)
_SIDES = {"q": "query", "g": "gallery"}
_MATRIX = 2  # axes
_TURN = (
    ": import it with the labels of these vectors (facever embeddings import, --labels), or say "
    "there with --vectors-in rows or columns (vectors_in=) what the first axis is"
)


@dataclass(frozen=True)
class FileTable:
    """The arrays of one table of a file.

    Args:
        vectors: [N, D].
        vectors_name: Name of the array in the file.
        columns: [N] each (or [1, N], [N, 1]), by column of the rows.
        names: Name in the file, by column.
        unused: Arrays that are no column, with type and shape.
        subset: "query" or "gallery" for one of two tables in a file; else None.
    """

    vectors: StoredArray
    vectors_name: str
    columns: dict[str, StoredArray] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    subset: str | None = None


def choose(
    file: EmbeddingFile,
    vectors: str | None = None,
    identities: str | None = None,
    axis: str | None = None,
    rows: int | None = None,
) -> list[FileTable]:
    """Return the table of a file, or two tables: those of the queries and of the gallery.

    Args:
        file: The opened file.
        vectors: Name of the array of vectors; by default it is found by name, or is the only
            matrix of floating-point numbers.
        identities: Name of the array of identities; by default it is found by name.
        axis: "rows" for vectors [N, D], "columns" for [D, N]; by default [N, D], and in MATLAB's
            files what the number of labels says.
        rows: Number of labels if they come from another file; no identities are then searched.

    Raises:
        DataError: An array is not there, it is ambiguous which one is meant, or lengths differ.
    """
    for name in (vectors, identities):
        if name is not None and name not in file.arrays:
            if name in file.unread:
                raise DataError(f"{file.path}: '{name}' cannot be read: {file.unread[name]}")
            raise DataError(f"{file.path}: {unknown('array', name, file.arrays)}")
    tables = _tables(file.arrays)
    if vectors is not None:
        tables = {side: table for side, table in tables.items() if vectors in table.values()}
    if len(tables) > 1 and (rows is not None or identities is not None):
        raise DataError(
            f"{file.path} has vectors of queries and of a gallery: choose one (--vectors NAME, "
            "vectors=), or omit labels and identities"
        )
    return [
        _chosen(file, side, table, vectors, identities, axis, rows)
        for side, table in tables.items()
    ]


def names_of(tables: Sequence[FileTable]) -> dict[str, str]:
    """Return the names in the file by column, of all tables."""
    columns = dict.fromkeys(column for one in tables for column in one.names)
    return {
        column: ", ".join(one.names[column] for one in tables if column in one.names)
        for column in columns
    }


def unused_in(tables: Sequence[FileTable]) -> list[str]:
    """Return the arrays that no table uses, with type and shape."""
    return [name for name in tables[0].unused if all(name in one.unused for one in tables)]


def _tables(arrays: Mapping[str, StoredArray]) -> dict[str | None, dict[str, str]]:
    """Return the short names of arrays with their names in the file, for each table."""
    sides: dict[str, dict[str, str]] = {"query": {}, "gallery": {}}
    for name in arrays:
        if said := _SIDE.fullmatch(name):
            side = said[1].lower()
            sides[_SIDES.get(side, side)][said[2]] = name
    if all(any(_named_vectors(k, arrays[v]) for k, v in part.items()) for part in sides.values()):
        return dict(sides.items())
    return {None: {name: name for name in arrays}}


def _chosen(
    file: EmbeddingFile,
    side: str | None,
    table: Mapping[str, str],
    vectors: str | None,
    identities: str | None,
    axis: str | None,
    rows: int | None,
) -> FileTable:
    arrays = {short: file.arrays[name] for short, name in table.items()}
    short_of = {name: short for short, name in table.items()}
    main = _vectors(file, arrays) if vectors is None else short_of[vectors]
    matrix = arrays.pop(main)
    if len(matrix.shape) != _MATRIX or not matrix.shape[1]:
        raise DataError(f"{file.path}: vectors must be a matrix [N, D], not {told(matrix)}")
    lengths = {name: max(one.shape) for name, one in arrays.items() if _is_column(one)}
    possible = {None: matrix.shape[:1], "rows": matrix.shape[:1], "columns": matrix.shape[1:]}[axis]
    if axis is None and file.either_way:
        possible = matrix.shape
    names = _columns(lengths, possible)
    if rows is None:
        groups = IDENTITIES if identities is None else (short_of.get(identities, identities),)
        found = _identities(file, lengths, possible, table, groups)
        if found is not None:
            others = {k: v for k, v in names.items() if k != "identity" and v != found}
            names = {"identity": found, **others}
    known = [rows] if rows is not None else [lengths[name] for name in names.values()]
    matrix = _oriented(file, matrix, table[main], axis, known[0] if known else None)
    names = {column: name for column, name in names.items() if lengths[name] == matrix.shape[0]}
    used = {table[name] for name in (main, *names.values())}
    unused = [f"{name} {told(array)}" for name, array in file.arrays.items() if name not in used]
    return FileTable(
        matrix,
        table[main],
        {column: arrays[name] for column, name in names.items()},
        {column: table[name] for column, name in names.items()},
        unused + [f"{name} ({reason})" for name, reason in file.unread.items()],
        side,
    )


def _vectors(file: EmbeddingFile, arrays: Mapping[str, StoredArray]) -> str:
    """Return the name of the array of vectors."""
    matrices = [name for name, array in arrays.items() if len(array.shape) == _MATRIX]
    found = [name for name in matrices if _named_vectors(name, arrays[name])]
    found = found or [name for name in matrices if arrays[name].dtype.kind == "f"]
    found = found or [name for name in matrices if not _is_column(arrays[name])]
    if len(found) > 1:  # a matrix of one row or column can be a column of the table
        found = [name for name in found if 1 not in arrays[name].shape] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{file.path} has several matrices that can be the vectors ({', '.join(found)}): "
            "choose one (facever embeddings import --vectors NAME, vectors=)"
        )
    raise DataError(
        f"{file.path} has no matrix of vectors [N, D]; it holds {file.contents() or 'no array'}"
    )


def _named_vectors(name: str, array: StoredArray) -> bool:
    return _last(name) in VECTORS.split() and len(array.shape) == _MATRIX


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _is_column(array: StoredArray) -> bool:
    """Return whether an array has one value per row: [N], [1, N] or [N, 1]."""
    return bool(array.shape) and len(array.shape) - array.shape.count(1) <= 1


def _columns(lengths: Mapping[str, int], possible: tuple[int, ...]) -> dict[str, str]:
    """Return the arrays that fit the vectors, by column: a known name, or their own."""
    fitting = [name for name, length in lengths.items() if length in possible]
    found: dict[str, str] = {}
    for column, groups in ROLES.items():
        for group in groups:
            matching = [name for name in fitting if _last(name) in group.split()]
            if matching and column not in found:
                found[column] = matching[0]
    return found | {name: name for name in fitting if name not in (*found, *found.values())}


def _identities(
    file: EmbeddingFile,
    lengths: Mapping[str, int],
    possible: tuple[int, ...],
    table: Mapping[str, str],
    groups: tuple[str, ...],
) -> str | None:
    """Return the name of the array of identities; None without one."""
    for group in groups:
        matching = [name for name in table if name == group or _last(name) in group.split()]
        fitting = [name for name in matching if lengths.get(name) in possible]
        if len(fitting) > 1:
            raise DataError(
                f"{file.path} has several arrays that can be the identities "
                f"({', '.join(table[name] for name in fitting)}): choose one (facever embeddings "
                "import --identities NAME, identities=)"
            )
        if fitting:
            return fitting[0]
        if matching:
            wrong = table[matching[0]]
            raise DataError(
                f"{file.path}: the identities '{wrong}' are {told(file.arrays[wrong])}, for "
                f"{' or '.join(f'{one:,}' for one in possible)} vectors{_TURN}"
            )
    return None


def _oriented(
    file: EmbeddingFile, matrix: StoredArray, name: str, axis: str | None, rows: int | None
) -> StoredArray:
    """Return the vectors as [N, D]."""
    first, second = matrix.shape
    if axis is None and file.either_way:
        if rows not in (first, second) or first == second:
            labels = "without labels" if rows is None else f"with {rows:,} labels"
            raise DataError(
                f"{file.path}: '{name}' {told(matrix)} can be [N, D] or [D, N] {labels}{_TURN}"
            )
        axis = "rows" if rows == first else "columns"
    return turned(matrix, file.path) if axis == "columns" else matrix
