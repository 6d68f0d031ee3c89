import pickle

import numpy as np
import pytest

from facever.data.acquisition import (
    FACE_COLUMNS,
    FaceStep,
    FailureToAcquire,
    PhotoCropper,
    box_of,
    face_columns,
    landmarks_of,
)
from facever.errors import DataError
from tests.squares import SquareCropper, patch, photo

POINTS = [[107.444, 113.5], [147.91, 112.39], [133.6, 137.8], [111.2, 154.4], [145.8, 154.0]]


def test_what_a_row_says_is_read_back():
    said = face_columns((75.26, 67.6, 91.4, 119.1), POINTS, 0.93264, 71.26, ["dark", "turned"])
    assert tuple(said) == FACE_COLUMNS
    assert said["box"] == "75.3 67.6 91.4 119.1"
    assert said["quality_reasons"] == "dark; turned"
    assert (said["detection_score"], said["quality"]) == (0.9326, 71.3)
    assert box_of(said["box"]) == pytest.approx((75.3, 67.6, 91.4, 119.1), abs=1e-5)
    found = landmarks_of(said["landmarks"])
    assert (found.dtype, found.shape) == (np.float32, (5, 2))
    np.testing.assert_allclose(found, POINTS, atol=0.005001)


@pytest.mark.parametrize(
    "text", ["107.4, 113.5; 147.9,112.4 133.6 137.8\t111.2 154.4 145.8 154", "[[107.4 113.5 147.9 "
             "112.4 133.6 137.8 111.2 154.4 145.8 154.0]]"]
)  # fmt: skip
def test_landmarks_that_data_bring_may_be_written_otherwise(text: str):
    np.testing.assert_allclose(landmarks_of(text), POINTS, atol=0.06)


@pytest.mark.parametrize("text", ["", "1 2 3", "a b c d e f g h i j", "1 2 3 4 5 6 7 8 9 nan"])
def test_landmarks_that_cannot_be_are_named(text: str):
    with pytest.raises(DataError, match="landmarks must be 10 numbers"):
        landmarks_of(text)


def test_a_failure_travels_between_processes_and_names_its_photo():
    failure = pickle.loads(pickle.dumps(FailureToAcquire("no face found", "a.jpg")))
    assert (str(failure), failure.reason) == ("a.jpg: no face found", "no face found")
    assert str(FailureToAcquire("no face found")) == "no face found"


def test_a_step_looks_for_a_face_or_cuts_by_landmarks_that_are_there():
    cropper = SquareCropper()
    assert isinstance(cropper, PhotoCropper)
    two = photo((5, 5, 30, patch(0)), (50, 40, 20, patch(1)))
    smaller = SquareCropper("all").crops(two, (8, 8))[1]
    step = FaceStep(cropper, (8, 8), [None, smaller.columns["landmarks"], ""])
    found = step(two, 0)
    assert found.columns["box"] == "5.0 5.0 30.0 30.0"
    assert (found.pixels == np.array(patch(0), np.uint8)).all()
    known = step(two, 1)
    assert (known.columns, cropper.looked) == ({}, 1)  # the row says it itself
    assert (known.pixels == np.array(patch(1), np.uint8)).all()
    assert step(two, 2).columns["box"] == found.columns["box"]  # an empty cell is no landmarks
