import numpy as np
import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.errors import ConfigError, DataError
from facever.training.supervision.labels import label_names, label_table


def manifest(tmp_path, **columns) -> Manifest:
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(rows)], "identity": "a", **columns})
    return Manifest(frame, tmp_path, "faces")


@pytest.mark.parametrize(
    "cells",
    [
        [1, 0, None, 1],
        [1, -1, None, 1],
        [True, False, None, True],
        ["yes", "No", None, "YES"],
        ["true", "False", "", "true"],
        [1.0, 0.0, float("nan"), 1.0],
        ["1", "0", " ", "1"],
    ],
)
def test_yes_and_no_are_one_label(tmp_path, cells):
    people = manifest(tmp_path, glasses=cells)
    assert label_names(people, ["glasses"]) == ["glasses"]
    table = label_table(people, ["glasses"], ["glasses"])
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table[:, 0], [1, 0, np.nan, 1])


def test_several_values_are_a_label_each(tmp_path):
    people = manifest(tmp_path, hair=["red", None, "blond", "red"], age=[3.0, 4.0, None, 5.0])
    labels = label_names(people, ["hair", "age"])
    assert labels == ["hair=blond", "hair=red", "age=3", "age=4", "age=5"]
    nan = np.nan
    np.testing.assert_array_equal(
        label_table(people, ["hair", "age"], labels),
        [[0, 1, 1, 0, 0], [nan, nan, 0, 1, 0], [1, 0, nan, nan, nan], [0, 1, 0, 0, 1]],
    )


def test_a_value_that_training_never_saw_is_none_of_the_labels(tmp_path):
    people = manifest(tmp_path, hair=["green", "red"], glasses=["perhaps", "yes"])
    table = label_table(people, ["hair", "glasses"], ["hair=blond", "hair=red", "glasses"])
    np.testing.assert_array_equal(table, [[0, 0, np.nan], [0, 1, 1]])


def test_refused(tmp_path):
    people = manifest(tmp_path, flat=[1, 1], empty=[None, None], many=["a", "b"])
    for column, message in (
        ("flat", "faces: column 'flat' says only 1: no label in it"),
        ("empty", "faces: column 'empty' says nothing: no label in it"),
        ("mani", "faces: unknown column 'mani'; did you mean 'many'? (allowed: empty, flat,"),
    ):
        with pytest.raises(DataError) as error:
            label_names(people, [column])
        assert str(error.value).startswith(message)
    numbers = manifest(tmp_path, number=list(range(101)))
    with pytest.raises(DataError, match=r"column 'number' has 101 values \(0, 1, 10, \.\.\. "):
        label_names(numbers, ["number"])
    with pytest.raises(ConfigError) as wrong:
        label_table(people, ["many"], ["flat"])
    assert str(wrong.value) == (
        "label 'flat' is of none of the columns many: write COLUMN or COLUMN=VALUE"
    )
