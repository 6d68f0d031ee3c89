"""Effects of light and camera on a drawn image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.core.seeding import stream
from facever.data.preprocessing import Image
from facever.data.synthetic.shot import Shot

_COARSE = 16  # the light is computed on a coarse grid and enlarged
_AXIS = (np.arange(_COARSE) + 0.5) / _COARSE * 2 - 1


def expose(drawn: Image, shot: Shot, size: int) -> Image:
    """Light, shrink to `size` x `size`, blur and add noise."""
    image = drawn
    if image.shape[0] != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    light = cv2.resize(_light(shot), (size, size), interpolation=cv2.INTER_LINEAR)
    lit = image * light[..., None]
    lit *= np.array(shot.tint, dtype=np.float32)
    if shot.blur * size > 0.3:
        lit = cv2.GaussianBlur(lit, (0, 0), shot.blur * size)
    grain = stream(shot.grain).integers(0, 256, lit.shape, dtype=np.uint8)
    lit += (grain - np.float32(127.5)) * np.float32(shot.noise / 73.9)  # 73.9: of uniform 0..255
    np.clip(lit, 0, 255, out=lit)
    exposed: Image = lit.astype(np.uint8)
    return exposed


def _light(shot: Shot) -> NDArray[np.float32]:
    """Return the brightness over the image [16, 16]: a ball lit from one side."""
    x = ((_AXIS - shot.shift_x) / 0.72)[None, :]
    y = ((_AXIS - shot.shift_y) / 0.85)[:, None]
    radius = np.sqrt(x * x + y * y)
    outside = np.maximum(radius, 1)
    z = np.sqrt(np.maximum(1 - (radius / outside) ** 2, 0))
    toward = (x * shot.light[0] + y * shot.light[1]) / outside + z * shot.light[2]
    light = shot.ambient + (1 - shot.ambient) * np.maximum(toward, 0)
    return (light * shot.exposure).astype(np.float32)
