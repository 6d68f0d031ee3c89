"""The face step with a detector of one's own."""

import pickle

import cv2
import numpy as np
import pytest

from facever.data.acquisition import FailureToAcquire, PhotoCropper, box_of, landmarks_of
from facever.errors import ConfigError, DataError
from facever.faces import Face, FaceCropper, align, template
from facever.faces.cropping import turned_back

from .conftest import Placed, face_at

RANDOM = np.random.default_rng(0)
PHOTO = cv2.GaussianBlur(RANDOM.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 1.0)


def test_a_face_is_cut_and_described() -> None:
    cropper = FaceCropper(Placed(face_at(40, 30), face_at(200, 100, 60)), min_quality=0)
    crop, columns = cropper.crop(PHOTO, (112, 112))
    np.testing.assert_array_equal(crop, PHOTO[30:142, 40:152])
    assert box_of(columns["box"]) == (40, 30, 112, 112)
    np.testing.assert_allclose(
        landmarks_of(columns["landmarks"]),
        template("arcface-112", 112) + np.array([40, 30]),
        atol=0.01,
    )
    assert columns["detection_score"] == 0.9
    assert 0 <= columns["quality"] <= 100
    assert isinstance(cropper, PhotoCropper)


def test_all_faces_come_from_the_largest_on() -> None:
    cropper = FaceCropper(
        Placed(face_at(200, 100, 60), face_at(40, 30)), which="all", min_quality=0
    )
    found = cropper.crops(PHOTO, (56, 56))
    assert [one.pixels.shape for one in found] == [(56, 56, 3)] * 2
    assert box_of(found[0].columns["box"])[2] == 112


def test_the_gate_says_why() -> None:
    cropper = FaceCropper(Placed(face_at(0, 0, 20, score=0.6)), min_quality=60)
    with pytest.raises(FailureToAcquire, match=r"below the minimum of 60.*small"):
        cropper.crop(PHOTO, (112, 112))


def test_all_leaves_out_what_is_below_the_gate() -> None:
    cropper = FaceCropper(Placed(face_at(40, 30), face_at(0, 0, 16)), which="all", min_quality=50)
    assert len(cropper.crops(PHOTO, (112, 112))) == 1


def test_known_landmarks_need_no_detector() -> None:
    points = template("arcface-112", 112) + np.array([25, 60])
    crop = FaceCropper(Placed()).cut(PHOTO, points, (112, 112))
    np.testing.assert_array_equal(crop, align(PHOTO, points))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_photo(turn: int) -> None:
    """A detector that only sees upright faces finds one in a photo that lies on its side."""
    upright, face = PHOTO, face_at(60, 50)
    photo = np.ascontiguousarray(np.rot90(upright, turn // 90))  # counter-clockwise

    class Upright(Placed):
        def detect(self, photo: np.ndarray) -> list[Face]:
            return self.found if np.array_equal(photo, upright) else []

    with pytest.raises(FailureToAcquire, match="no face"):
        FaceCropper(Upright(face)).crop(photo, (112, 112))
    cropper = FaceCropper(Upright(face), rotations=True, min_quality=0)
    (found,) = cropper.faces(photo)
    assert found.turn == turn
    left, top, width, height = found.box
    assert 0 <= left < left + width <= photo.shape[1]
    assert 0 <= top < top + height <= photo.shape[0]
    crop = cropper.crop(photo, (112, 112)).pixels.astype(int)
    assert np.abs(crop - upright[50:162, 60:172]).mean() < 1


def test_turning_back_by_brute_force() -> None:
    """The pixel under a landmark is the same in both photos."""
    face = face_at(20, 10, 56)
    for turn in (90, 180, 270):
        photo = np.rot90(PHOTO, turn // 90)
        for (x, y), (u, v) in zip(
            np.round(face.landmarks).astype(int),
            np.round(turned_back(face, turn, photo.shape[:2]).landmarks).astype(int),
            strict=True,
        ):
            np.testing.assert_array_equal(photo[v, u], PHOTO[y, x])


def test_it_travels_to_other_processes() -> None:
    cropper = FaceCropper(Placed(face_at(40, 30)), which="only", min_quality=7, rotations=True)
    again = pickle.loads(pickle.dumps(cropper))
    assert again.provenance == cropper.provenance
    assert again.provenance["detector"] == "placed"
    assert again.provenance["face"] == "only"
    assert again.provenance["template"] == "arcface-112"


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="min_quality is 101"):
        FaceCropper(Placed(), min_quality=101)
    with pytest.raises(DataError, match="alignment 'other'"):
        FaceCropper(Placed(), alignment="other")
