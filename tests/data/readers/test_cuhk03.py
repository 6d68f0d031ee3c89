"""CUHK03: split files made byte by byte, and the folders of CUHK03-NP."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from facever.data.readers import cuhk03, read
from facever.errors import DataError
from tests.data.readers.trees import tree
from tests.mat_bytes import cell, compressed, mat_file, numbers, text

IMAGES = "1_001_1_01.png", "1_001_2_06.png", "1_002_1_01.png", "1_002_2_07.png", "2_001_1_01.png"
SPLIT = {
    "train_idx": [5],
    "query_idx": [1, 4],
    "gallery_idx": [2, 3],
    "labels": [1, 1, 2, 2, 844],
    "camId": [1, 2, 1, 2, 1],
}
LABELED = "cuhk03_new_protocol_config_labeled.mat"
DETECTED = "cuhk03_new_protocol_config_detected.mat"


def split(images: tuple[str, ...] = IMAGES, **changes: list[int] | None) -> bytes:
    held = {name: values for name, values in (SPLIT | changes).items() if values is not None}
    arrays = [compressed(numbers(values, name)) for name, values in held.items()]
    return mat_file(cell([text(image) for image in images], "filelist"), *arrays)


def make(root: Path, content: bytes | None = None, folder: str = "images_labeled") -> Path:
    tree(root, *(f"{folder}/{image}" for image in IMAGES))
    (root / LABELED).write_bytes(split() if content is None else content)
    return root


def test_a_split_file(tmp_path: Path) -> None:
    wanted = {
        "path": [f"images_labeled/{IMAGES[k]}" for k in (4, 0, 3, 1, 2)],
        "identity": ["0844", "0001", "0002", "0001", "0002"],
        "camera": ["1", "1", "2", "2", "1"],
        "subset": ["train", "query", "query", "gallery", "gallery"],
    }
    for root in (make(tmp_path), tmp_path / LABELED):
        manifest = read(root)
        assert (manifest.layout, manifest.dataset) == ("cuhk03", "cuhk03")
        assert manifest.root == tmp_path
        assert manifest.frame.to_dict("list") == wanted


@pytest.mark.parametrize("folder", ["labeled", "images", "."])
def test_a_split_file_of_scipy_and_other_folders(tmp_path: Path, folder: str) -> None:
    make(tmp_path, folder=folder)
    columns = {name: np.uint16(values)[:, None] for name, values in SPLIT.items()}
    files = np.array(IMAGES, dtype=object)[:, None]
    savemat(tmp_path / LABELED, {"filelist": files} | columns, do_compression=True)
    manifest = read(tmp_path)
    assert (manifest.layout, len(manifest)) == ("cuhk03", 5)
    manifest.check_files()


def test_labeled_and_detected_are_two_data_sets(tmp_path: Path) -> None:
    make(tmp_path)
    tree(tmp_path, *(f"images_detected/{image}" for image in IMAGES))
    (tmp_path / DETECTED).write_bytes(split())
    with pytest.raises(DataError, match=rf"two data sets: give .*{LABELED} or .*{DETECTED}"):
        read(tmp_path)
    assert read(tmp_path / DETECTED).frame["path"].str.startswith("images_detected/").all()


def test_images_in_no_list_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, split(gallery_idx=[2]))
    assert len(read(tmp_path)) == 4
    assert f"1 images in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (split(camId=None), "no variable 'camId' .found: filelist, train_idx"),
        (split(labels=[1, 1]), "5 images in filelist, 2 labels and 5 camId"),
        (split(query_idx=[0]), "query_idx has numbers outside of filelist, which has 5 images"),
        (split(query_idx=[6]), "query_idx has numbers outside"),
        (split(gallery_idx=[1]), r"1_001_1_01.png twice"),
        (split(train_idx=[1.5]), "train_idx must hold whole numbers"),
        (split(train_idx=[], query_idx=[], gallery_idx=[]), "are empty"),
        (split((*IMAGES[:4], "x.png"), train_idx=[5]), "x.png, which .* names, is neither in"),
        (split((*IMAGES[:3], "x.png", IMAGES[4])), "missing, first images_labeled/x.png"),
        (split()[:-9], "is not a split file of CUHK03.* truncated"),
        (b"", "not a MATLAB 5 file"),
    ],
)
def test_split_files_that_do_not_fit(tmp_path: Path, content: bytes, reason: str) -> None:
    make(tmp_path, content)
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path)
    assert str(tmp_path) in str(caught.value)


NP = "bounding_box_train/0003_c1_1.png", "query/0001_c1_5.png", "bounding_box_test/0001_c2_10.png"


def test_the_folders_of_cuhk03_np(tmp_path: Path) -> None:
    root = tree(tmp_path / "np", *(f"labeled/{name}" for name in NP))
    for place in (root, root / "labeled"):
        manifest = read(place)
        assert manifest.layout == "cuhk03"
        assert manifest.frame.to_dict("list") == {
            "path": list(NP),
            "identity": ["0003", "0001", "0001"],
            "camera": ["1", "1", "2"],
            "number": ["1", "5", "10"],
            "subset": ["train", "query", "gallery"],
        }
    tree(root, *(f"detected/{name}" for name in NP))
    with pytest.raises(DataError, match=r"two data sets: give .*/labeled or .*/detected"):
        read(root)


def test_other_files_are_not_cuhk03(tmp_path: Path) -> None:
    tree(tmp_path, "people/a/1.png", "labels.mat")
    assert not cuhk03.detect(tmp_path)
    assert not cuhk03.detect(tmp_path / "labels.mat")
