"""Pictures inside the page: small JPEGs as data: URIs, or a photo with its box and crop."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facever.data.acquisition import landmarks_of
from facever.data.decode import ImageError, decode
from facever.data.members import file_of
from facever.faces.alignment import ARCFACE, align
from facever.faces.contact_sheet import drawn
from facever.render.blocks import Picture

_SIDE = 112
_QUALITY = 82


@dataclass(frozen=True)
class Cut:
    """A face that was cut from a photo.

    Args:
        photo: The photo, as `facever.data.decode` takes it.
        box, landmarks: Cells of these columns, see `facever.data.acquisition.face_columns`.
        template: Name of the alignment template.
    """

    photo: str
    box: str
    landmarks: str
    template: str = ARCFACE

    def picture(self) -> np.ndarray:
        """Return the photo with the face's box, and the aligned crop below it, as RGB.

        Raises:
            ImageError: The photo cannot be read.
        """
        photo = decode(self.photo, unended=[], reduce=True)
        crop = align(photo, landmarks_of(self.landmarks), _SIDE, self.template)
        marked = drawn(photo, {"box": self.box, "landmarks": self.landmarks})
        height = max(1, round(photo.shape[0] * _SIDE / photo.shape[1]))
        shown = cv2.resize(marked, (_SIDE, height), interpolation=cv2.INTER_AREA)
        return np.vstack([shown, crop])


def portrait(
    path: str | Path | None, name: str, shown: bool = True, cut: Cut | None = None
) -> Picture:
    """Return a small picture of an image file, or the reason why it is missing.

    Args:
        path: The image, as for `facever.data.decode`; None if unknown.
        name: The identity.
        shown: If False, return the name without the image.
        cut: The face in a photo: the picture shows the photo with the box and the crop. If the
            photo is missing, it shows the image only.
    """
    detail = "" if path is None else os.path.basename(path)  # noqa: PTH119 - may end in "#7"
    if not shown:
        return Picture(name, detail)
    if path is None:
        return Picture(name, reason="unknown path")
    try:
        if cut is not None and (cut.photo == str(path) or Path(file_of(cut.photo)).is_file()):
            return Picture(name, detail, uri=data_uri(cut.picture(), 8 * _SIDE), tall=True)
        return Picture(name, detail, uri=data_uri(decode(path), _SIDE))
    except ImageError as error:
        return Picture(name, detail, reason=error.reason)


def data_uri(image: np.ndarray, side: int) -> str:
    """Return uint8 [H, W, 3] RGB as a JPEG data: URI whose longer side is at most `side` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
