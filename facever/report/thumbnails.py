"""Pictures inside the page: small JPEGs as data: URIs."""

import base64
import os
from pathlib import Path

import cv2
import numpy as np

from facever.data.decode import ImageError, decode
from facever.render.blocks import Picture

_SIDE = 112
_QUALITY = 82


def portrait(path: str | Path | None, name: str, shown: bool = True) -> Picture:
    """Return a small picture of an image file, or the reason why there is none.

    Args:
        path: The image, as `facever.data.decode` takes it; None where it is not known.
        name: Whom it shows.
        shown: False names the picture without showing it.
    """
    detail = "" if path is None else os.path.basename(path)  # noqa: PTH119 - may end in "#7"
    if not shown:
        return Picture(name, detail)
    if path is None:
        return Picture(name, reason="no picture known")
    try:
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
