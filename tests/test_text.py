"""One rule turns names and values into text."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from facever.text import as_text, canonical, text_of


def test_a_name_is_composed_and_stripped() -> None:
    composed, decomposed = "Jos\u00e9", "Jose\u0301"
    assert composed != decomposed
    assert canonical(composed) == canonical(decomposed) == canonical(f" {decomposed}\t") == composed
    assert canonical("p 0") == "p 0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("01", "01"),
        (" 1", " 1"),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (np.int8(1), "1"),
        (np.float32(1), "1"),
        (1.5, "1.5"),
        (2**53 + 1, "9007199254740993"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (np.str_("a"), "a"),
        (b"a", "a"),
        (True, "True"),
        (Decimal("1.50"), "1.50"),
    ],
)
def test_a_value_as_text(value: object, text: str) -> None:
    assert text_of(value) == text
    assert type(text_of(value)) is str


@pytest.mark.parametrize(
    "column",
    [
        [1, 2, None],
        [1.0, 2.0, None],
        np.array([1, 2, np.nan]),
        np.array([1, 2, np.nan], np.float16),
        pd.array([1, 2, None], dtype="Int64"),
        pd.Series(["1", "2", None], dtype="category"),
        pd.Series(["1", "2", None], dtype="string"),
        pd.Series([1, "2", np.nan], dtype=object),
        pd.Series([1, 2, None], dtype="Float32"),
    ],
)
def test_columns_of_any_type_are_one_text(column: object) -> None:
    found = as_text(column)  # type: ignore[arg-type]
    assert found.dtype == object
    assert found.tolist() == ["1", "2", None]


def test_the_index_and_name_of_a_column_stay() -> None:
    column = pd.Series([7], index=[3], name="camera")
    assert as_text(column).to_dict() == {3: "7"}
    assert as_text(column).name == "camera"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="decode"):
        as_text([b"\xff"])
