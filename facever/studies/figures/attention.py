"""Attention maps of keypoints over images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from facever.render.blocks import Drawing, Figure
from facever.render.svg import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_SIDE = 144  # pixels of the longer side of a cell
_STRONGEST = 0.75  # opacity at the maximum of a map


def attention_sheet(
    name: str,
    title: str,
    images: Sequence[Pixels],
    names: Sequence[str],
    attention: Mapping[int, Floats],
    caption: str,
    drawn: Mapping[int, Sequence[int]] | None = None,
) -> Figure:
    """Draw each image with the attention map of each keypoint next to it.

    Each map is drawn relative to its own maximum: a uniform map colours the whole image.

    Args:
        name: Unique within a page.
        title: Title of the panel.
        images: uint8 [H, W, 3] RGB each, all of one size.
        names: Names of the images.
        attention: By stage, [images, keypoints, h, w], not negative; each map covers the image.
        caption: Caption of the figure.
        drawn: By stage, the numbers of the keypoints that are drawn, from 0; all by default.
    """
    drawn = drawn or {stage: range(found.shape[1]) for stage, found in attention.items()}
    maps = [(stage, key) for stage, keys in drawn.items() for key in keys]
    rows = [
        [_shown(image), *(overlay(image, attention[s][n, k]) for s, k in maps)]
        for n, image in enumerate(images)
    ]
    sheet = np.concatenate([np.concatenate([_framed(cell) for cell in row], 1) for row in rows])
    height, width = len(sheet) / len(rows), sheet.shape[1] / (1 + len(maps))

    def paint(axes: "Axes") -> None:
        axes.imshow(sheet, interpolation="nearest")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
        axes.xaxis.tick_top()
        heads = ["image", *(f"{stage}.{key + 1}" for stage, key in maps)]
        axes.set_xticks([(k + 0.5) * width for k in range(len(heads))], heads)
        shown = [printable(name)[-24:] for name in names]
        axes.set_yticks([(k + 0.5) * height for k in range(len(rows))], shown)

    alt = f"{len(images)} images with the attention of {len(maps)} keypoints."
    size = (sheet.shape[1] / _SIDE + 1.5, len(sheet) / _SIDE + 0.4)
    return Figure(title, Drawing(name, alt, paint, size), caption)


def overlay(image: Pixels, attention: Floats) -> Pixels:
    """Return the image in grey, with high values of an attention map [h, w] in colour."""
    shown = _shown(image)
    size = (shown.shape[1], shown.shape[0])
    share = cv2.resize(attention, size, interpolation=cv2.INTER_LINEAR) / attention.max()
    grey = cv2.cvtColor(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    color = matplotlib.colormaps["inferno"](0.3 + 0.6 * share)[..., :3] * 255
    opacity = (_STRONGEST * share)[..., None]
    mixed: Pixels = np.rint(grey * (1 - opacity) + color * opacity).astype(np.uint8)
    return mixed


def _framed(cell: Pixels) -> Pixels:
    return np.pad(cell, ((2, 2), (2, 2), (0, 0)), constant_values=255)


def _shown(image: Pixels) -> Pixels:
    """Return the image resized to a longer side of `_SIDE` pixels."""
    scale = _SIDE / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    shown = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(shown, np.uint8)
