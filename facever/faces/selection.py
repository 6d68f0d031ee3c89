"""Selection of a photo's face."""

from collections.abc import Sequence
from typing import Literal, get_args

from facever.data.acquisition import FailureToAcquire
from facever.errors import ConfigError
from facever.faces.face import Face

Which = Literal["largest", "central", "all", "only"]


def checked_which(which: str) -> Which:
    """Return a rule; raise ConfigError if there is no rule of that name."""
    if which not in get_args(Which):
        raise ConfigError(f"face is '{which}' (allowed: {', '.join(get_args(Which))})")
    return which  # type: ignore[return-value]


def select(faces: Sequence[Face], which: Which, size: tuple[int, int]) -> list[Face]:
    """Return the selected faces, best first.

    Args:
        faces: All faces of a photo.
        which: "largest" (area of the box), "central" (box nearest to the centre of the photo),
            "all" (by decreasing size), or "only" (the single face of a photo).
        size: (height, width) of the photo in pixels.

    Raises:
        FailureToAcquire: There is no face, or several with "only".
    """
    if not faces:
        raise FailureToAcquire("no face found")
    if which == "only" and len(faces) > 1:
        raise FailureToAcquire(f"{len(faces)} faces found, but only one is allowed")
    if which == "central":
        middle_x, middle_y = (size[1] - 1) / 2, (size[0] - 1) / 2

        def distance(face: Face) -> float:
            x, y = face.centre
            return (x - middle_x) ** 2 + (y - middle_y) ** 2

        return [min(faces, key=distance)]
    by_area = sorted(faces, key=lambda face: face.box[2] * face.box[3], reverse=True)
    return by_area if which == "all" else by_area[:1]
