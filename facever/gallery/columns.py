"""Columns of a table as metadata of people and weights of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from facever.core.text import canonical, canonical_column
from facever.data.tables import to_numbers
from facever.errors import DataError, unknown
from facever.gallery.records import shown


def metadata_of(
    rows: pd.DataFrame,
    columns: Sequence[str],
    person: str | None = None,
    further: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return columns of a table as metadata of people, for `Gallery.enroll`.

    Args:
        rows: A table with a column `identity`: a manifest's frame, an embedding set's rows.
        columns: Names of the columns; empty cells are ignored.
        person: Id for all rows, instead of the column `identity`.
        further: Other metadata by person id; it has priority over the columns.

    Raises:
        DataError: There is no such column, or rows of one person contradict each other.
    """
    found: dict[str, dict[str, Any]] = {}
    people = (
        canonical_column(rows["identity"])
        if person is None
        else pd.Series(canonical(person), rows.index)
    )
    for column in columns:
        if column not in rows:
            raise DataError(unknown("column", column, map(str, rows)))
        said = rows[column].dropna().groupby(people)
        several = said.nunique() > 1
        if several.any():
            who = str(several.idxmax())
            values = ", ".join(map(str, said.get_group(who).unique()[:3]))
            raise DataError(
                f"column '{column}' has different values for {shown(who)} ({values}): metadata "
                "belongs to a person, not to an image"
            )
        for name, value in said.first().items():
            found.setdefault(str(name), {})[column] = _plain(value)
    for name, known in (further or {}).items():
        found.setdefault(name, {}).update(known)
    return found


def with_quality(rows: pd.DataFrame, column: str | None) -> pd.DataFrame:
    """Return a table whose column `quality` (weights of images) is a copy of another column.

    Raises:
        DataError: There is no such column.
    """
    if column is None:
        return rows
    if column not in rows:
        raise DataError(unknown("column", column, map(str, rows)))
    return rows.assign(quality=to_numbers(rows[column], "the images' weights"))


def _plain(value: Any) -> Any:
    """Return a cell as a value that JSON can store."""
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | bool | int | float | list | dict) else str(plain)
