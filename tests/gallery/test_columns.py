from pathlib import Path

import pandas as pd
import pytest

from facever.data.manifest import Manifest
from facever.errors import DataError
from facever.gallery.columns import metadata_of, with_quality


def test_a_table_says_the_same_of_a_person_however_it_spells_them() -> None:
    rows = pd.DataFrame({"identity": ["Jose\u0301", "Jos\u00e9 ", 1.0], "site": ["A", "A", "B"]})
    assert metadata_of(rows, ["site"]) == {"Jos\u00e9": {"site": "A"}, "1": {"site": "B"}}
    assert metadata_of(rows.iloc[:1], ["site"], person=" p") == {"p": {"site": "A"}}
    rows.loc[1, "site"] = "B"
    with pytest.raises(DataError, match="column 'site' has different values for 'Jos\u00e9'"):
        metadata_of(rows, ["site"])


def test_weights_are_numbers(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,identity,sharp\na.png,a,0.5\nb.png,b,\n")
    frame = with_quality(Manifest.from_csv(table).frame, "sharp")
    assert frame["quality"].tolist()[0] == 0.5
    assert frame["quality"].isna().tolist() == [False, True]
    table.write_text("path,identity,sharp\na.png,a,0.5\nb.png,b,blurred\n")
    with pytest.raises(DataError, match=r"column 'sharp' must hold numbers; row 2 holds 'blurred'"):
        with_quality(Manifest.from_csv(table).frame, "sharp")
