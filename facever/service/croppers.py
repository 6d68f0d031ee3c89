"""Croppers of a service: one for each rule of faces, with its limits."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from facever.data.acquisition import Acquired, FailureToAcquire, PhotoCropper
from facever.faces.selection import Which
from facever.service.problems import Problem
from facever.service.turns import Turns

Pixels = NDArray[np.uint8]
MakeCropper = Callable[[Which], PhotoCropper]
"""Makes the cropper of a rule; all of them detect alike."""


class BoundedCropper:
    """A cropper that several threads use: as many detect at once as there are CPUs.

    Args:
        cropper: What detects and crops.
        most: Faces of one photo; a photo with more is a failure to acquire.
        turns: Taken while a photo is worked on.
    """

    def __init__(self, cropper: PhotoCropper, most: int, turns: Turns) -> None:
        self._cropper, self._most, self._turns = cropper, most, turns
        self.which = getattr(cropper, "which", None)
        self.provenance: dict[str, Any] = cropper.provenance

    def crop(self, photo: Pixels, size: tuple[int, int]) -> Acquired:
        """See `PhotoCropper`."""
        with self._turns:
            return self._cropper.crop(photo, size)

    def crops(self, photo: Pixels, size: tuple[int, int]) -> list[Acquired]:
        """See `PhotoCropper`.

        Raises:
            FailureToAcquire: There is no face, or there are more than allowed.
        """
        with self._turns:
            found = list(self._cropper.crops(photo, size))
        if len(found) > self._most:
            raise FailureToAcquire(f"{len(found)} faces found, but at most {self._most} are taken")
        return found

    def cut(self, photo: Pixels, landmarks: NDArray[np.float32], size: tuple[int, int]) -> Pixels:
        """See `PhotoCropper`."""
        return self._cropper.cut(photo, landmarks, size)


class Croppers:
    """The croppers of a service, by rule.

    Args:
        make: Makes the cropper of a rule; None for a model that takes crops.
        faces: Faces of one photo that are taken.
        turns: Taken while a photo is worked on.
    """

    def __init__(self, make: MakeCropper | None, faces: int, turns: Turns) -> None:
        self._by_rule = {
            which: BoundedCropper(make(which), faces, turns)
            for which in get_args(Which)
            if make is not None
        }

    @property
    def detects(self) -> bool:
        """Whether images are photos, in which faces are detected."""
        return bool(self._by_rule)

    def of(self, which: Which | None) -> BoundedCropper | bool:
        """Return the value of `photos` for a rule; by default the largest face.

        Raises:
            Problem: A rule for a model that takes crops.
        """
        if not self._by_rule:
            if which is not None:
                raise Problem(
                    422, "face: the model of this gallery takes crops, without detection: omit it"
                )
            return False
        return self._by_rule[which or "largest"]
