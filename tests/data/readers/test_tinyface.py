"""TinyFace: lists made byte by byte, distractors that are never correct."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from facever import EmbeddingSet, evaluate
from facever.data.readers import read, tinyface
from facever.errors import DataError
from tests.data.readers.trees import tree
from tests.mat_bytes import cell, compressed, mat_file, numbers, text

PROBES = {"7_2.jpg": 7, "9_1.jpg": 9}
MATCHES = {"7_1.jpg": 7, "7_3.jpg": 7, "9_4.jpg": 9}
DISTRACTORS = "d1.jpg", "sub/d2.jpg"
PROBE_LIST, GALLERY_LIST = "probe_img_ID_pairs.mat", "gallery_match_img_ID_pairs.mat"


def listed(kind: str, people: dict[str, int], ids: list[float] | None = None) -> bytes:
    names = cell([text(name) for name in people], f"{kind}_set")
    return mat_file(
        compressed(names), numbers(list(people.values()) if ids is None else ids, f"{kind}_ids")
    )


def make(root: Path) -> Path:
    tree(
        root, *(f"Probe/{name}" for name in PROBES), *(f"Gallery_Match/{name}" for name in MATCHES)
    )
    tree(root, *(f"Gallery_Distractor/{name}" for name in DISTRACTORS))
    (root / PROBE_LIST).write_bytes(listed("probe", PROBES))
    (root / GALLERY_LIST).write_bytes(listed("gallery", MATCHES))
    return root


def test_the_whole_data_set(tmp_path: Path) -> None:
    make(tmp_path / "Testing_Set")
    tree(tmp_path, "Training_Set/18/18_1.jpg", "Training_Set/7/7_1.jpg")
    manifest = read(tmp_path)
    assert (manifest.layout, manifest.dataset) == ("tinyface", "tinyface")
    rows = [
        ("Testing_Set/Probe/7_2.jpg", "test_7", "query", "Probe"),
        ("Testing_Set/Probe/9_1.jpg", "test_9", "query", "Probe"),
        ("Testing_Set/Gallery_Match/7_1.jpg", "test_7", "gallery", "Gallery_Match"),
        ("Testing_Set/Gallery_Match/7_3.jpg", "test_7", "gallery", "Gallery_Match"),
        ("Testing_Set/Gallery_Match/9_4.jpg", "test_9", "gallery", "Gallery_Match"),
        ("Testing_Set/Gallery_Distractor/d1.jpg", "distractor_d1", "gallery", "Gallery_Distractor"),
        (
            "Testing_Set/Gallery_Distractor/sub/d2.jpg",
            *("distractor_sub_d2", "gallery", "Gallery_Distractor"),
        ),
        ("Training_Set/18/18_1.jpg", "train_18", "train", "Training_Set"),
        ("Training_Set/7/7_1.jpg", "train_7", "train", "Training_Set"),
    ]
    columns = manifest.frame[["path", "identity", "subset", "part"]]
    assert list(columns.itertuples(index=False, name=None)) == rows


def test_the_testing_set_alone_with_a_list_of_scipy(tmp_path: Path) -> None:
    make(tmp_path)
    names = np.array(list(PROBES), dtype=object)[:, None]
    ids = np.uint16(list(PROBES.values()))[:, None]
    savemat(tmp_path / PROBE_LIST, {"probe_set": names, "probe_ids": ids})
    manifest = read(tmp_path)
    assert (manifest.layout, len(manifest)) == ("tinyface", 7)
    assert manifest.where(subset="query").frame["identity"].tolist() == ["test_7", "test_9"]


def test_distractors_are_in_the_gallery_and_never_correct(tmp_path: Path) -> None:
    frame = read(make(tmp_path)).frame
    vectors = {"7": [1.0, 0, 0], "9": [0, 1.0, 0], "d": [0, 0.8, 0.6]}
    held = np.array([vectors[path.rpartition("/")[2][0]] for path in frame["path"]])
    held[frame["path"] == "Probe/9_1.jpg"] = [0, 0.8, 0.6]  # nearer to both distractors
    faces = EmbeddingSet.from_arrays(held, frame["identity"], subset=frame["subset"])
    result = evaluate.retrieval(faces)
    assert (result.queries, result.gallery) == (2, 5)
    assert result.cmc[:3].tolist() == [0.5, 0.5, 1.0]
    assert result.map_plain == pytest.approx((1 + 1 / 3) / 2)
    assert frame["identity"].nunique() == 4  # two people, and each distractor


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"no list .*probe_img_ID_pairs.mat"),
        (listed("gallery", PROBES), r"no variable 'probe_set' .found: gallery_set, gallery_ids"),
        (listed("probe", PROBES, [7]), "2 images in probe_set and 1 people in probe_ids"),
        (listed("probe", PROBES, [7, 0.5]), "probe_ids must hold whole numbers"),
        (listed("probe", PROBES | {"x.jpg": 1}), "1 image that .* missing, first Probe/x.jpg"),
        (listed("probe", PROBES)[:-5], "is not a list of TinyFace: it is truncated"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, content: bytes | None, reason: str) -> None:
    make(tmp_path)
    (tmp_path / PROBE_LIST).unlink()
    if content is not None:
        (tmp_path / PROBE_LIST).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_images_in_no_list_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read(tree(make(tmp_path), "Probe/new.jpg"))) == 7
    assert "Probe/new.jpg" in capsys.readouterr().err


def test_other_folders_are_not_tinyface(tmp_path: Path) -> None:
    assert not tinyface.detect(tree(tmp_path, "Probe/a/1.jpg", "Gallery/a/2.jpg"))
    tree(make(tmp_path / "x" / "Testing_Set"), "../Training_Set/18_1.jpg")
    with pytest.raises(DataError, match=r"18_1.jpg is not in a folder of a person"):
        read(tmp_path / "x")
