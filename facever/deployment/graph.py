"""The network that is exported: an Embedder with what a caller elsewhere would have to add."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from facever.models.embedder import Embedder

Layout = Literal["NCHW", "NHWC"]
Place = Literal["inside", "outside"]
LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")
PLACES: tuple[Place, ...] = ("inside", "outside")

_LUMA = (9798.0, 19235.0, 3735.0)  # of R, G and B in 1/32768, as OpenCV rounds them for uint8
_SCALE = 32768.0


class DeployedNetwork(nn.Module):
    """An Embedder, with its preprocessing and the unit length inside or outside.

    Inside: uint8 pixels in RGB, of the model's size, become unit vectors; colour order, mean and
    standard deviation are part of the network. Outside: numbers in the model's colour order, to
    which mean and standard deviation are applied, become vectors of the model's own length.

    Args:
        embedder: The model; it is used as it is.
        preprocessing: "inside" or "outside".
        layout: "NCHW" or "NHWC", of the images.
        flip: Average the vectors of each image and its mirror image.
    """

    def __init__(
        self, embedder: Embedder, preprocessing: Place, layout: Layout, flip: bool
    ) -> None:
        super().__init__()
        self.embedder = embedder
        self.inside, self.layout, self.flip = preprocessing == "inside", layout, flip

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors [B, D] of images [B, 3, H, W] or [B, H, W, 3]; see the class."""
        if self.layout == "NHWC":
            images = images.permute(0, 3, 1, 2)
        if self.inside:
            images = (self._recolored(images) - self.embedder.mean) / self.embedder.std
        vectors: Tensor = self.embedder(images)
        if self.flip:
            vectors = (vectors + self.embedder(images.flip(3))) / 2
        return F.normalize(vectors) if self.inside else vectors

    def _recolored(self, images: Tensor) -> Tensor:
        """Return levels 0 to 255 in the model's colour order, as `Preprocessing.recolor` does."""
        levels = images.to(self.embedder.mean.dtype)
        color = self.embedder.preprocessing.color
        if color == "bgr":
            return levels.flip(1)
        if color == "grey":
            red, green, blue = levels[:, 0:1], levels[:, 1:2], levels[:, 2:3]
            luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
            grey = ((luma + _SCALE / 2) / _SCALE).floor()
            return grey.expand(-1, 3, -1, -1)
        return levels
