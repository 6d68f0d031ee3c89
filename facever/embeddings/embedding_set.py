"""The embedding set: one unit vector per image, and rows with the identities.

On disk it is a folder: `vectors.npy` (float32 [N, D], memory-mapped when read), `rows.parquet` (the
manifest's rows in the same order, with `norm` and `error`), `meta.json`, and `trained_on.parquet`
if the identities of the training data are known.
"""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from facever.core.files import atomic_folder, open_regular
from facever.core.json_files import read_json, write_json
from facever.core.text import NUMERIC, canonical_column, text_column
from facever.embeddings.meta import UNDECLARED, EmbeddingMeta
from facever.embeddings.unit import first_not_unit, unit_rows
from facever.errors import DataError

FORMAT = 1
VECTORS, ROWS, META, TRAINED_ON = "vectors.npy", "rows.parquet", "meta.json", "trained_on.parquet"
UNFINISHED = "unfinished.jsonl"  # the journal of an extraction that has not finished
_CHECKED_ROWS = 4096
_LISTED = 3


@dataclass(frozen=True)
class EmbeddingSet:
    """Unit vectors and their rows.

    Args:
        vectors: float32 [N, D]; row i belongs to `rows.iloc[i]`. Unit length, or zero if the image
            could not be embedded.
        rows: `identity` (str, missing if unknown), `norm` (float32, the length before
            normalisation), `error` (str, missing if there is a vector), and any other column such
            as `path` or `camera`.
        meta: Origin of the vectors.
        trained_on: `identity` and `dataset` of all people in the model's training data, or None if
            unknown.
    """

    vectors: NDArray[np.float32]
    rows: pd.DataFrame
    meta: EmbeddingMeta
    trained_on: pd.DataFrame | None = None

    @classmethod
    def from_arrays(
        cls,
        vectors: ArrayLike,
        identities: Sequence[str | None] | ArrayLike | None = None,
        *,
        fingerprint: str | None = None,
        normalize: bool = True,
        **columns: Any,
    ) -> Self:
        """Make an embedding set from vectors of any origin.

        Args:
            vectors: [N, D], finite, no zero row.
            identities: [N], identity of each vector; None if unknown.
            fingerprint: The declared origin of the vectors: any text that identifies the model and
                its options, such as "arcface-r50 2024-05 flip". Without one, the set is
                "undeclared": it can be evaluated, but not enrolled in a gallery.
            normalize: Divide each row by its length. With False, only unit rows are accepted.
            columns: Further columns of the rows, each [N], such as `path` or `camera`.

        Raises:
            DataError: The vectors are not a matrix, lengths differ, or a row is NaN, infinite or
                zero, or, without `normalize`, not of unit length.

        Example:
            >>> faces = EmbeddingSet.from_arrays([[3.0, 4.0]], ["Ada"], camera=[1])
            >>> faces.vectors.tolist(), faces.rows.norm.tolist()
            ([[0.6000000238418579, 0.800000011920929]], [5.0])
        """
        try:
            given = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(f"vectors must be a matrix of numbers [N, D]: {error}") from error
        if given.ndim != 2 or not given.shape[1]:
            raise DataError(f"vectors must be a matrix [N, D], not of shape {given.shape}")
        units, norms = unit_rows(given)
        if not norms.all():
            raise DataError(f"vector {int(np.argmin(norms))} has zero length")
        if not normalize:
            wrong = first_not_unit(given)
            if wrong is not None:
                raise DataError(
                    f"vector {wrong} has length {norms[wrong]:.4g}, not 1; give normalize=True"
                )
            units = given
        names = [None] * len(units) if identities is None else identities
        rows = _columns({"identity": names, **columns}, len(units))
        rows["identity"] = _people(rows["identity"])
        meta = EmbeddingMeta(fingerprint or UNDECLARED, units.shape[1])
        return cls(units, with_outcome(rows, norms, [None] * len(units)), meta)

    def save(self, path: str | Path) -> None:
        """Write the folder atomically, replacing an existing embedding set.

        Raises:
            DataError: Something other than an embedding set exists at `path`, or a column has
                values that Parquet cannot store.
        """
        path = Path(path)
        refuse_to_replace(path)
        with atomic_folder(path, private=True) as folder:
            np.save(folder / VECTORS, np.asarray(self.vectors, dtype=np.float32))
            write_tables(folder, self.rows, self.meta, self.trained_on)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Open a folder; the vectors are memory-mapped and read when used.

        Raises:
            DataError: There is no such folder, files are missing, unfinished, truncated,
                inconsistent or of a newer format, or vectors are not of unit length.
        """
        path = Path(path)
        _check_files(path)
        meta = _read_meta(path)
        try:
            vectors = np.load(path / VECTORS, mmap_mode="r", allow_pickle=False)
            rows = _read_rows(path / ROWS)
            known = (path / TRAINED_ON).is_file()
            loaded = cls(vectors, rows, meta, _read_rows(path / TRAINED_ON) if known else None)
            loaded._check(path)
        except DataError:
            raise
        except Exception as error:  # the readers' errors for damaged bytes are undocumented
            raise DataError(
                f"{path} is damaged ({str(error) or type(error).__name__}); {_MEND}"
            ) from error
        return loaded

    def _check(self, path: Path) -> None:
        """Refuse files that contradict each other; vectors are checked at evenly spread rows."""
        shape = (len(self.rows), self.meta.dimension)
        if self.vectors.dtype != np.float32 or self.vectors.shape != shape:
            found = f"{self.vectors.dtype} {list(self.vectors.shape)}"
            raise DataError(
                f"{path} is damaged: its vectors are {found}, but its rows and meta.json "
                f"require float32 {list(shape)}; {_MEND}"
            )
        missing = {"identity", "norm", "error"} - set(self.rows.columns)
        if missing:
            raise DataError(f"{path / ROWS} has no column {', '.join(sorted(missing))}; {_MEND}")
        acquired = np.flatnonzero(self.acquired)
        spread = np.linspace(0, len(acquired) - 1, min(len(acquired), _CHECKED_ROWS)).astype(int)
        checked = acquired[np.unique(spread)]
        wrong = first_not_unit(self.vectors[checked])
        if wrong is not None:
            raise DataError(f"{path}: vector {checked[wrong]} is not of unit length; {_MEND}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def root(self) -> str | None:
        """The folder of relative paths in the rows, or None."""
        return self.meta.root

    @property
    def identities(self) -> NDArray[np.str_]:
        """The identity of each row, str [N], in the form of `facever.core.text.canonical`.

        Raises:
            DataError: Rows have no identity; `named` is a mask of those that have one.
        """
        self.require_identities()
        return canonical_column(self.rows["identity"]).to_numpy().astype(str)

    @property
    def named(self) -> NDArray[np.bool_]:
        """Whether the identity is known, bool [N]."""
        return self.rows["identity"].notna().to_numpy(dtype=bool)

    def require_identities(self) -> None:
        """Refuse rows without identity.

        Raises:
            DataError: Rows have no identity; the message has the first three.
        """
        unnamed = np.flatnonzero(~self.named)
        if len(unnamed):
            first = ", ".join(self._row_name(int(row)) for row in unnamed[:_LISTED])
            more = ", ..." if len(unnamed) > _LISTED else ""
            raise DataError(
                f"{len(unnamed):,} of {len(self):,} rows have no identity: {first}{more}; add "
                "the identity of each row, or select the rows that have one (in Python: "
                "faces.select(faces.named))"
            )

    def _row_name(self, row: int) -> str:
        path = self.rows["path"].iloc[row] if "path" in self.rows else None
        return f"row {row}" if path is None or pd.isna(path) else f"row {row} ({path})"

    @property
    def acquired(self) -> NDArray[np.bool_]:
        """Whether there is a vector, bool [N]; False if the image could not be embedded."""
        return self.rows["error"].isna().to_numpy(dtype=bool)

    @property
    def failures(self) -> int:
        """The number of images that could not be embedded."""
        return int((~self.acquired).sum())

    def select(self, which: ArrayLike) -> Self:
        """Return the rows of a boolean mask [N] or of indices, in their order.

        Raises:
            DataError: The mask has another length, or an index does not exist.
        """
        chosen = np.asarray(which)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise DataError(f"a mask of shape {chosen.shape} for {len(self)} rows")
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        if len(chosen) and (chosen.max() >= len(self) or chosen.min() < -len(self)):
            raise DataError(f"row {int(chosen.max())} of an embedding set of {len(self)} rows")
        rows = self.rows.iloc[chosen].reset_index(drop=True)
        return type(self)(self.vectors[chosen], rows, self.meta, self.trained_on)


def _columns(columns: Mapping[str, Any], size: int) -> pd.DataFrame:
    """Return the columns as a table of `size` rows."""
    reserved = sorted({"norm", "error"} & set(columns))
    if reserved:
        raise DataError(f"column '{reserved[0]}' is reserved: rename it")
    series = {}
    for name, values in columns.items():
        try:
            series[name] = pd.Series(list(values) if isinstance(values, pd.Series) else values)
        except (TypeError, ValueError) as error:
            raise DataError(f"column '{name}' is not a list of values: {error}") from error
        if np.ndim(values) < 1 or len(series[name]) != size:
            raise DataError(f"column '{name}' has {np.size(values)} values for {size} vectors")
    return pd.DataFrame(series)


_MEND = "create it again with 'facever embed' or EmbeddingSet.save"


def with_outcome(
    rows: pd.DataFrame,
    norms: NDArray[np.float32],
    errors: Sequence[str | None],
    found: Sequence[Mapping[str, Any]] = (),
) -> pd.DataFrame:
    """Return the rows with the columns `norm` and `error`, and those of the faces in their photos.

    One new table: pandas takes several times as long to set columns one after the other, which
    counts where a request has one image.

    Args:
        rows: [N].
        norms: [N], lengths before normalisation.
        errors: [N], why there is no vector, or None.
        found: [N], values by column; empty for rows without detection (crops, photos with given
            landmarks) or without a face: such rows keep their values. Or an empty list.
    """
    columns: dict[str, Any] = {str(name): column.array for name, column in rows.items()}
    for name in dict.fromkeys(name for said in found for name in said):
        had = rows[name].tolist() if name in rows else [None] * len(rows)
        values = [said.get(name) if said else old for said, old in zip(found, had, strict=True)]
        made: Any = pd.array(values, dtype="Float64" if name in NUMERIC else "string")
        columns[name] = made.to_numpy(np.float64, na_value=np.nan) if name in NUMERIC else made
    columns["norm"] = np.asarray(norms, np.float32)
    columns["error"] = pd.array(errors, dtype="string")
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def require_some(meta: EmbeddingMeta, errors: Sequence[str | None]) -> None:
    """Refuse images if none of them could be embedded.

    Raises:
        DataError: No image could be embedded; the message has the first reason.
    """
    if errors and None not in errors:
        photos = meta.acquisition.get("images") == "photos"
        what = "photos could be acquired" if photos else "images could be read"
        raise DataError(f"not one of {len(errors)} {what}, first: {errors[0]}")


def write_tables(
    folder: Path, rows: pd.DataFrame, meta: EmbeddingMeta, trained_on: pd.DataFrame | None
) -> None:
    """Write all files of an embedding set except its vectors, `meta.json` last.

    All files of the folder become accessible to their owner only: vectors of faces are biometric
    data.
    """
    try:
        rows.to_parquet(folder / ROWS)
        if trained_on is not None:
            trained_on.to_parquet(folder / TRAINED_ON)
    except (
        TypeError,
        ValueError,
        NotImplementedError,
    ) as error:  # base classes of pyarrow's errors
        reason = " ".join(str(error).split())
        raise DataError(f"a column of the rows cannot be written as Parquet: {reason}") from error
    write_json(folder / META, {"format": FORMAT, "rows": len(rows), **asdict(meta)})
    for file in folder.iterdir():
        file.chmod(0o600)


def refuse_to_replace(path: Path) -> None:
    """Refuse an existing path that is not an embedding set.

    Raises:
        DataError: It is a file, or a folder with other contents than an embedding set.
    """
    if path.is_dir() and ((path / META).is_file() or not any(path.iterdir())):
        return
    if path.exists():
        raise DataError(f"{path} exists and is not an embedding set; choose another path")


def _check_files(path: Path) -> None:
    partial = path.with_name(f"{path.name}.partial")
    if not path.exists():
        mend = f"; {partial} is unfinished: run the same command again" if partial.exists() else ""
        raise DataError(f"no embedding set at {path}{mend}")
    if (path / UNFINISHED).exists():
        raise DataError(f"{path} is an unfinished extraction; run the same command again")
    missing = [name for name in (META, VECTORS, ROWS) if not (path / name).is_file()]
    if missing:
        raise DataError(f"{path} is not an embedding set: it has no {', '.join(missing)}")


def _read_rows(path: Path) -> pd.DataFrame:
    with open_regular(path) as file:
        rows = pd.read_parquet(file)
    for name in rows.columns:
        if isinstance(rows[name].dtype, pd.StringDtype):  # kept unchanged
            pa.array(rows[name].array).validate(full=True)
        elif pd.api.types.infer_dtype(rows[name], skipna=True) == "bytes":
            rows[name] = text_column(rows[name])
    if "identity" in rows:
        rows["identity"] = _people(rows["identity"])
    return rows


def _people(names: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column of identities, canonical, and missing where empty."""
    people = canonical_column(names)
    blank = (people == "").fillna(False).to_numpy(dtype=bool)
    return people.mask(blank, None) if blank.any() else people


def _read_meta(path: Path) -> EmbeddingMeta:
    try:
        values = read_json(path / META)
        version = int(values["format"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path / META} is damaged; {_MEND}") from error
    if version > FORMAT:
        raise DataError(
            f"{path} has format {version}, newer than this facever reads ({FORMAT}); "
            "update facever (pip install -U facever)"
        )
    names = {field.name for field in fields(EmbeddingMeta)}
    values.setdefault("acquisition", {})  # missing in older files
    try:
        meta = EmbeddingMeta(**{name: values[name] for name in names})
    except KeyError as error:
        raise DataError(f"{path / META} has no {error}; {_MEND}") from error
    for name, kind in get_type_hints(EmbeddingMeta).items():
        value = getattr(meta, name)
        if isinstance(value, bool) or not isinstance(value, getattr(kind, "__origin__", kind)):
            raise DataError(f"{path / META}: its {name} cannot be {reprlib.repr(value)}; {_MEND}")
    return meta
