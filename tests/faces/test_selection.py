"""Which face of a photo is meant."""

import pytest

from facever.data.acquisition import FailureToAcquire
from facever.errors import ConfigError
from facever.faces import FaceCropper
from facever.faces.selection import checked_which, select

from .conftest import Placed, face_at

SMALL, LARGE, MIDDLE = face_at(10, 10, 40), face_at(150, 20, 90), face_at(85, 85, 50)
SIZE = (220, 260)


def test_the_rules() -> None:
    faces = [SMALL, MIDDLE, LARGE]
    assert select(faces, "largest", SIZE) == [LARGE]
    assert select(faces, "central", SIZE) == [MIDDLE]
    assert select(faces, "all", SIZE) == [LARGE, MIDDLE, SMALL]
    assert select([SMALL], "only", SIZE) == [SMALL]


def test_several_where_one_is_allowed() -> None:
    with pytest.raises(FailureToAcquire, match="2 faces"):
        select([SMALL, LARGE], "only", SIZE)


@pytest.mark.parametrize("which", ["largest", "central", "all", "only"])
def test_no_face(which: str) -> None:
    with pytest.raises(FailureToAcquire, match="no face"):
        select([], checked_which(which), SIZE)


def test_an_unknown_rule() -> None:
    with pytest.raises(ConfigError, match=r"'biggest'.*largest, central, all, only"):
        FaceCropper(Placed(), which="biggest")  # type: ignore[arg-type]
