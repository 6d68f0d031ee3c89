"""idx files as MNIST comes."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from facever.data.decode import decode
from facever.data.readers import idx
from facever.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([7, 0, 7, 1], np.uint8)


def write(path: Path, array: np.ndarray) -> None:
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_images_labels_and_subsets(tmp_path: Path) -> None:
    write(tmp_path / "train-images-idx3-ubyte", IMAGES)
    write(tmp_path / "train-images-idx3-ubyte.gz", IMAGES[:1])  # the plain file is read instead
    write(tmp_path / "train-labels-idx1-ubyte.gz", LABELS)
    write(tmp_path / "t10k-images.idx3-ubyte.gz", IMAGES[:2])
    write(tmp_path / "t10k-labels.idx1-ubyte", LABELS[:2])
    assert idx.detect(tmp_path)
    manifest = idx.read(tmp_path)
    assert manifest.frame.to_dict("list") == {
        "path": [
            "t10k-images.idx3-ubyte.gz#0",
            "t10k-images.idx3-ubyte.gz#1",
            *(f"train-images-idx3-ubyte#{i}" for i in range(4)),
        ],
        "identity": ["7", "0", "7", "0", "7", "1"],
        "subset": ["test", "test", "train", "train", "train", "train"],
    }
    np.testing.assert_array_equal(decode(manifest.locate(3))[..., 0], IMAGES[1])


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    assert not idx.detect(tmp_path)
    with pytest.raises(DataError, match=r"no files like train-images-idx3-ubyte\(\.gz\) in"):
        idx.read(tmp_path)
    write(tmp_path / "train-images-idx3-ubyte", IMAGES)
    with pytest.raises(DataError, match=r"^no labels train-labels-idx1-ubyte\(\.gz\) in /"):
        idx.read(tmp_path)
    write(tmp_path / "train-labels-idx1-ubyte", LABELS[:3])
    with pytest.raises(DataError, match=r"\(4, 2, 3\) and train-labels-idx1-ubyte \(3,\) do not"):
        idx.read(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_text("1 2 3")
    with pytest.raises(DataError, match="train-labels-idx1-ubyte: not an idx file"):
        idx.read(tmp_path)


def test_mnist(real_data: Path) -> None:
    manifest = idx.read(real_data / "mnist")
    assert (len(manifest), len(manifest.identities), manifest.dataset) == (10_000, 10, "mnist")
    counts = manifest.frame["identity"].value_counts()
    assert (counts["1"], counts["5"]) == (1135, 892)  # as published
    assert decode(manifest.locate(0)).shape == (28, 28, 3)
    assert manifest.frame["identity"].iloc[:5].tolist() == ["7", "2", "1", "0", "4"]
