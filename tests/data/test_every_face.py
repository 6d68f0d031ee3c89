from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from facever.data.acquisition import FaceStep, FailureToAcquire
from facever.data.decode import ImageError, decode
from facever.data.every_face import every_face, every_face_given
from facever.data.manifest import Manifest
from tests.squares import SquareCropper, patch, photo, write


@pytest.fixture
def photos(tmp_path: Path) -> Manifest:
    """A photo of two, one of nobody, one that cannot be read, and one of one."""
    write(tmp_path / "0.png", photo((5, 5, 30, patch(0)), (50, 40, 20, patch(1))))
    write(tmp_path / "1.png", photo())
    (tmp_path / "2.png").write_text("no image")
    write(tmp_path / "3.png", photo((40, 10, 24, patch(2))))
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(4)], "identity": list("abcd")})
    return Manifest.from_frame(frame.assign(camera=list("wxyz")), tmp_path, "photos")


def test_a_manifest_gets_a_row_for_each_face(photos: Manifest, capsys):
    cropper = SquareCropper("all")
    made, step = every_face(photos, FaceStep(cropper, (8, 8)))
    frame = made.frame
    assert frame["path"].tolist() == ["0.png", "0.png", "1.png", "2.png", "3.png"]
    assert frame["camera"].tolist() == list("wwxyz")
    assert frame["identity"].fillna("").tolist() == [
        "",
        "",
        "b",
        "c",
        "d",
    ]  # which of the two is a?
    assert "1 photos have several faces" in capsys.readouterr().err
    assert frame["face"].fillna("none").tolist() == ["1", "2", "none", "none", "1"]
    assert frame["box"].iloc[1] == "50.0 40.0 20.0 20.0"
    assert frame["quality"].dtype == float
    assert cropper.looked == 3
    pixels = [decode(made.locate(0)), decode(made.locate(4))]
    for row, place, seed in ((0, 0, 0), (1, 0, 1), (4, 1, 2)):  # the second pass
        cut = step(pixels[place], row)
        assert (cut.pixels == np.array(patch(seed), np.uint8)).all()
        assert cut.columns == {}
    with pytest.raises(FailureToAcquire, match="no face found"):
        step(decode(made.locate(2)), 2)
    assert cropper.looked == 3  # nothing is looked for twice


def test_given_images_are_read_once(photos: Manifest):
    images = [photos.locate(row) for row in range(4)]
    crops, owners, step = every_face_given(images, FaceStep(SquareCropper("all"), (8, 8)))
    assert owners == [0, 0, 1, 2, 3]
    assert [step(crops[row], row).columns["face"] for row in (0, 1, 4)] == ["1", "2", "1"]
    assert (step(crops[1], 1).pixels == np.array(patch(1), np.uint8)).all()
    with pytest.raises(FailureToAcquire, match="no face found"):
        step(crops[2], 2)
    with pytest.raises(FailureToAcquire, match=r"2\.png: not an image"):
        step(crops[3], 3)


def test_strictly_the_first_that_fails_ends_it(photos: Manifest):
    step = FaceStep(SquareCropper("all"), (8, 8))
    with pytest.raises(FailureToAcquire, match=r"1\.png: no face found"):
        every_face(photos, step, "raise")
    with pytest.raises(ImageError, match=r"2\.png"):
        every_face_given([photos.locate(2)], step, "raise")
