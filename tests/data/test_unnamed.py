"""Images whose identity nobody knows: kept, never a person, refused where one is needed."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.data.audit import inspect
from facever.data.loading import plain_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.readers import read
from facever.data.shards import write_shards
from facever.data.split import split
from facever.errors import DataError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A flat folder of four images; the last is a copy of the first."""
    root = tmp_path / "images"
    root.mkdir()
    for number in range(3):
        cv2.imwrite(str(root / f"{number}.png"), RANDOM.integers(0, 256, (16, 16, 3), np.uint8))
    shutil.copy(root / "0.png", root / "3.png")
    return root


def listed(images: Path, *identities: str | None) -> Manifest:
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(4)], "identity": list(identities)})
    return Manifest(frame, images, "listed")


def test_a_flat_folder_has_no_identities(images: Path) -> None:
    found = read(images)
    assert len(found) == 4
    assert found.identities == []
    assert found.frame["identity"].isna().all()
    assert found.labels().tolist() == [-1] * 4


def test_any_tree_by_its_layout(images: Path) -> None:
    (images / "deep" / "er").mkdir(parents=True)
    shutil.copy(images / "1.png", images / "deep" / "er" / "4.png")
    assert read(images / "deep").identities == ["er"]
    found = read(images, "images")
    assert (len(found), found.identities) == (5, [])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables(images: Path, suffix: str) -> None:
    paths = pd.DataFrame({"path": ["0.png", "1.png"]})
    some = paths.assign(identity=["ada", None])
    for name, frame, known in (("paths", paths, []), ("some", some, ["ada"])):
        table = images / f"{name}{suffix}"
        frame.to_csv(table, index=False) if suffix == ".csv" else frame.to_parquet(table)
        found = read(table)
        assert found.identities == known
        assert len(found) == 2
        found.save(images / f"again{suffix}")
        again = read(images / f"again{suffix}")
        assert again.identities == known
        assert again.frame["identity"].isna().tolist() == found.frame["identity"].isna().tolist()


def test_nobody_is_a_person(images: Path) -> None:
    found = listed(images, "ada", None, " ", "nan")
    assert found.identities == ["ada", "nan"]  # a person may be called so
    assert found.labels().tolist() == [0, -1, -1, 1]
    assert len(found.where(identity="ada")) == 1
    assert len(found.select(np.array([1, 2]))) == 2


@pytest.mark.parametrize("needs", ["train", "split", "at_most"])
def test_where_identities_are_needed(images: Path, needs: str) -> None:
    found = listed(images, "ada", None, "bob", None)
    use = {
        "train": lambda: found.require_identities(2),
        "split": lambda: split(found, {"train": 0.5, "test": 0.5}),
        "at_most": lambda: found.at_most(1),
    }[needs]
    with pytest.raises(DataError, match=r"listed: 2 of 4 images have no identity.*row 2 \(1\.png"):
        use()


def test_a_column_that_is_nearly_called_so(images: Path) -> None:
    frame = pd.DataFrame({"path": ["0.png"], "identiti": ["ada"]})
    with pytest.raises(DataError, match=r"no identity.*did you mean 'identiti'"):
        Manifest(frame, images, "listed").require_identities()


def test_batches_are_those_of_named_images(images: Path) -> None:
    options = {"batch_size": 3, "workers": 0}
    plain = Preprocessing(size=(16, 16))
    for nameless, named in zip(
        plain_batches(read(images), plain, **options),  # type: ignore[arg-type]
        plain_batches(listed(images, "a", "b", "c", "d"), plain, **options),  # type: ignore[arg-type]
        strict=True,
    ):
        assert nameless.images.equal(named.images)
        assert nameless.indices.equal(named.indices)


def test_shards(images: Path, tmp_path: Path) -> None:
    write_shards(listed(images, "ada", None, "bob", None), tmp_path / "shards")
    again = read(tmp_path / "shards")
    assert again.identities == ["ada", "bob"]
    (tmp_path / "shards" / "manifest.parquet").unlink()
    assert read(tmp_path / "shards", "webdataset").identities == ["ada", "bob"]


def test_an_inspection(images: Path) -> None:
    found = inspect(read(images))
    assert (found.images, found.identities, found.unnamed) == (4, 0, 4)
    assert found.duplicates_unnamed == [["0.png", "3.png"]]
    assert found.duplicates_within == found.duplicates_across == []
    assert json.loads(json.dumps(found.to_dict()))["unnamed"] == 4
    assert "none (4 images without)" in found.to_text(80)
    some = inspect(listed(images, "ada", "ada", None, None))
    assert (some.identities, some.unnamed) == (1, 2)
    assert some.duplicates_unnamed == [["0.png", "3.png"]]
