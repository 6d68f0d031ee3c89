"""Unpacked images are the packed bytes, in a folder for each identity."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.decode import decode
from facever.data.manifest import Manifest
from facever.data.readers import read
from facever.data.shards import write_shards
from facever.data.synthesize import synthesize
from facever.data.unpacking import unpack
from facever.errors import ConfigError
from tests.data.readers.test_insightface import encoded, record


def test_shards_become_the_files_that_they_were_made_of(tmp_path: Path) -> None:
    people = synthesize(tmp_path / "people", 4, 3, size=16)
    shards = write_shards(people, tmp_path / "shards", 1)
    made = unpack(shards, tmp_path / "out")
    assert made.frame["identity"].tolist() == people.frame["identity"].tolist()
    assert made.frame["original"].tolist() == people.frame["path"].tolist()
    for row in range(len(people)):
        assert Path(made.locate(row)).read_bytes() == Path(people.locate(row)).read_bytes()
        assert Path(made.locate(row)).parent.name == people.frame["identity"].iloc[row]


def test_records_become_a_folder_per_identity(tmp_path: Path) -> None:
    images = [encoded(i, suffix) for i, suffix in enumerate((".jpg", ".png", ".jpg"))]
    data = b"".join(record(one, float(i // 2)) for i, one in enumerate(images))
    (tmp_path / "train.rec").write_bytes(data)
    made = unpack(read(tmp_path / "train.rec"), tmp_path / "out")
    assert made.frame["path"].tolist() == ["0/0.jpg", "0/1.png", "1/2.jpg"]
    assert [Path(made.locate(row)).read_bytes() for row in range(3)] == images
    assert read(tmp_path / "out").frame["identity"].tolist() == ["0", "0", "1"]


def test_names_that_no_folder_can_have(tmp_path: Path) -> None:
    names = ["a/b", "A_B", "..", "c:d", None, "x" * 300, "without_identity", "nul", "Con.x", "cone"]
    pixels = np.arange(len(names) * 48) % 256
    np.save(tmp_path / "images.npy", pixels.astype(np.uint8).reshape(-1, 4, 4, 3))
    paths = [f"images.npy#{i}" for i in range(len(names))]
    frame = pd.DataFrame({"path": paths, "identity": names})
    made = unpack(Manifest.from_frame(frame, tmp_path, "odd"), tmp_path / "out")
    folders = [Path(path).parts[0] for path in made.frame["path"]]
    assert len({folder.lower() for folder in folders}) == len(names)
    assert folders[-3:] == ["_nul", "_Con.x", "cone"]  # Windows has devices of the first two names
    assert all(len(Path(path).parts) == 2 for path in made.frame["path"])
    assert not {"..", "."} & set(folders)
    assert made.frame["identity"].fillna("-").tolist() == [name or "-" for name in names]
    for row in range(len(names)):
        np.testing.assert_array_equal(
            decode(made.locate(row)), decode(f"{tmp_path}/images.npy#{row}")
        )
    with pytest.raises(ConfigError, match=r"out already exists"):
        unpack(made, tmp_path / "out")
