"""Attribute columns of a manifest as yes-or-no labels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from facever.core.text import as_text
from facever.data.manifest import Manifest
from facever.data.tables import shortened
from facever.errors import ConfigError, DataError, unknown

_YES, _NO = {"1", "true", "yes"}, {"0", "-1", "false", "no"}
_MOST_VALUES = 100


def label_names(manifest: Manifest, columns: Sequence[str]) -> list[str]:
    """Return the labels that the columns hold.

    A column of yes and no (1 and 0 or -1, true and false, yes and no) is one label by its own name,
    one of several values is a label COLUMN=VALUE for each of them.

    Args:
        manifest: The training images.
        columns: Names of columns; empty cells are unknown and make no label.

    Raises:
        DataError: No such column, one that says the same of every image, or one of more than 100
            values.
    """
    names: list[str] = []
    for column in columns:
        values = sorted(set(_texts(manifest, column).dropna()))
        if len(values) < 2:
            said = f"only {values[0]}" if values else "nothing"
            raise DataError(f"{manifest.dataset}: column '{column}' says {said}: no label in it")
        if len(values) > _MOST_VALUES:
            raise DataError(
                f"{manifest.dataset}: column '{column}' has {len(values)} values "
                f"({shortened(values, most=3)}); up to {_MOST_VALUES} can be labels"
            )
        yes_or_no = {value.lower() for value in values} <= _YES | _NO
        names += [column] if yes_or_no else [f"{column}={value}" for value in values]
    return names


def label_table(
    manifest: Manifest, columns: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float32]:
    """Return 1, 0 or, where a cell is empty, NaN for each image and label, float32 [N, A].

    Raises:
        ConfigError: A label of none of the columns.
        DataError: No such column.
    """
    texts = {column: _texts(manifest, column) for column in columns}
    table = np.full((len(manifest), len(labels)), np.nan, np.float32)
    for place, label in enumerate(labels):
        if label in texts:
            lower = texts[label].str.lower()
            table[lower.isin(_YES), place] = 1
            table[lower.isin(_NO), place] = 0
            continue
        owner = next((column for column in columns if label.startswith(f"{column}=")), None)
        if owner is None:
            raise ConfigError(
                f"label '{label}' is of none of the columns {', '.join(columns)}: write COLUMN or "
                "COLUMN=VALUE"
            )
        known = texts[owner].notna().to_numpy()
        table[known, place] = (texts[owner][known] == label.removeprefix(f"{owner}=")).to_numpy()
    return table


def _texts(manifest: Manifest, column: str) -> "pd.Series[str]":
    """Return a column's cells as text, None where they are empty.

    Where all of them are numbers, whole ones are written as such: "1.0" and "01" are "1".
    """
    if column not in manifest.frame:
        raise DataError(
            f"{manifest.dataset}: {unknown('column', column, map(str, manifest.frame))}"
        )

    cells = as_text(manifest.frame[column])
    cells = cells.str.strip().mask(cells.str.strip() == "")
    numbers = pd.to_numeric(cells, errors="coerce")
    return as_text(numbers) if numbers.notna().equals(cells.notna()) else cells
