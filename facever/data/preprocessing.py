"""Preprocessing: from an image to the input of a model.

The preprocessing is stored with the weights, so that training, extraction and every later use
agree. Size and colour order are changed here, on uint8; the Embedder normalises by `mean` and `std`
on the device.
"""

from typing import Annotated, Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from facever.config import Config

Image: TypeAlias = NDArray[np.uint8]

_INTERPOLATION = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}


def _square(value: Any) -> Any:
    """Convert a single number to both sides."""
    return (value, value) if isinstance(value, int) else value


Side = Annotated[int, Field(ge=1, le=4096)]
Level = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0)]


class Preprocessing(Config):
    """Crop, size, colour order and normalisation of a model's input.

    The interpolation "area" is bilinear where an image is enlarged. `mean` and `std` are in the
    order of `color`.
    """

    size: Annotated[tuple[Side, Side], BeforeValidator(_square)] = Field(
        (112, 112), description="height and width in pixels, or one number for a square"
    )
    crop: float = Field(
        default=1.0, gt=0, le=1, description="central share of each side, kept before resizing"
    )
    color: Literal["rgb", "bgr", "grey"] = Field("rgb", description="order of the channels")
    mean: tuple[Level, Level, Level] = Field(
        (0.5, 0.5, 0.5), description="of each channel, for values from 0 to 1"
    )
    std: tuple[Spread, Spread, Spread] = Field(
        (0.5, 0.5, 0.5), description="of each channel, for values from 0 to 1"
    )
    interpolation: Literal["area", "bilinear", "bicubic"] = Field(
        "area", description="of resizing; area averages where an image is reduced"
    )

    @property
    def uncropped_size(self) -> tuple[int, int]:
        """Size of an image whose central `crop` has the size of the input: (height, width) in
        pixels.
        """
        height, width = self.size
        return round(height / self.crop), round(width / self.crop)

    def apply(self, image: Image) -> Image:
        """Crop, resize and convert the colour order.

        Args:
            image: uint8 [H, W, 3], RGB, of any size.

        Returns:
            uint8 [size_h, size_w, 3] in the colour order `color`; "grey" repeats the luma in all
            three channels. `mean` and `std` are not applied.
        """
        return self.recolor(self.resize(image))

    def resize(self, image: Image) -> Image:
        """Crop and resize only: uint8 [H, W, 3] RGB to uint8 [size_h, size_w, 3] RGB."""
        if self.crop < 1:
            image = _centre(image, self.crop)
        height, width = self.size
        if image.shape[:2] == (height, width):
            return image
        grows = image.shape[0] < height or image.shape[1] < width
        name = "bilinear" if self.interpolation == "area" and grows else self.interpolation
        resized: Image = cv2.resize(image, (width, height), interpolation=_INTERPOLATION[name])
        return resized

    def recolor(self, image: Image) -> Image:
        """Convert the colour order only: uint8 [H, W, 3] RGB to the order `color`."""
        if self.color == "rgb":
            return image
        if self.color == "bgr":
            recolored: Image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        else:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            recolored = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
        return recolored


def _centre(image: Image, share: float) -> Image:
    height, width = image.shape[:2]
    kept_h, kept_w = max(1, round(height * share)), max(1, round(width * share))
    top, left = (height - kept_h) // 2, (width - kept_w) // 2
    return image[top : top + kept_h, left : left + kept_w]
