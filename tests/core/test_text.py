"""One rule turns names and values into text."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from facever.core.text import NUMERIC, as_text, canonical, canonical_column, text_column, text_of


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


def test_values_without_a_hash_are_text_too() -> None:
    values = [[1, 2], None, {"a": 1}, np.array([1.5, 2])]
    assert as_text(values).tolist() == ["[1, 2]", None, "{'a': 1}", "[1.5, 2.0]"]


def test_a_column_of_text_is_itself() -> None:
    column = pd.Series(["a", None], dtype="string", name="c")
    assert text_column(column) is column
    made = text_column(pd.Series([1, None], index=[7, 7], name="c", dtype="Int64"))
    assert made.tolist()[0] == "1"
    assert made.isna().tolist() == [False, True]
    assert (made.index.tolist(), made.name) == ([7, 7], "c")


def test_a_column_of_identities() -> None:
    names = pd.Series(["Jose\u0301", "Jos\u00e9 ", "p0", None, "p0"], index=[3, 1, 4, 1, 5])
    made = canonical_column(names)
    assert made.tolist()[:3] == ["Jos\u00e9", "Jos\u00e9", "p0"]
    assert made.isna().tolist() == [False, False, False, True, False]
    assert made.index.tolist() == names.index.tolist()
    text = made.astype("string")
    assert canonical_column(text) is text
    assert canonical_column(pd.Series([1, 2.0])).tolist() == ["1", "2"]


def test_the_columns_of_numbers() -> None:
    assert len(NUMERIC) == 10
    assert {"norm", "detection_score", "quality", "score", "width", "height"} < NUMERIC
