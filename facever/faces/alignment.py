"""Alignment: map a face's landmarks to a template by a similarity transform."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facever.errors import DataError, unknown

ARCFACE = "arcface-112"

TEMPLATES: dict[str, tuple[int, NDArray[np.float64]]] = {
    ARCFACE: (
        112,
        np.array(
            [
                [38.2946, 51.6963],
                [73.5318, 51.5014],
                [56.0252, 71.7366],
                [41.5493, 92.3655],
                [70.7299, 92.2041],
            ]
        ),
    )
}
"""Templates by name: the side of the square crop in pixels, and the positions of its five
landmarks, [5, 2].

`arcface-112`: Deng et al., ArcFace, CVPR 2019, with the points published by
insightface.
"""


def template(name: str, size: int | tuple[int, int]) -> NDArray[np.float64]:
    """Return the landmarks' positions in a crop of a size, [5, 2] x and y in pixels.

    Args:
        name: One of `TEMPLATES`.
        size: (height, width) of the crop, or one number for a square. In a crop that is not square,
            the template is centred and scaled to the shorter side.

    Raises:
        DataError: There is no such template.
    """
    if name not in TEMPLATES:
        raise DataError(unknown("alignment", name, TEMPLATES))
    side, points = TEMPLATES[name]
    height, width = (size, size) if isinstance(size, int) else size
    scale = min(height, width) / side
    shift = (np.array([width, height]) - scale * side) / 2
    # Pixel centres are at integers: the scaling is about the crop's corner at -0.5.
    return (points + 0.5) * scale - 0.5 + shift


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Return the similarity transform that maps points to others with the least squared error.

    Args:
        source: [N, 2], at least 2 points, not all equal.
        target: [N, 2].

    Returns:
        [2, 3], for `cv2.warpAffine`: target ~ source @ M[:, :2].T + M[:, 2], with the least sum of
        squared distances. It contains no reflection.

    Raises:
        DataError: All points are equal, or a point is not finite.

    Reference:
        Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns,
        PAMI 1991, equations 34 to 43.
    """
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("landmarks must be finite numbers")
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    variance = (x**2).sum() / len(x)
    if not variance > 0:
        raise DataError("landmarks that are all equal cannot be aligned")
    u, singular, v = np.linalg.svd(y.T @ x / len(x))
    signs = np.array([1.0, np.sign(np.linalg.det(u @ v)) or 1.0])
    rotation = (u * signs) @ v
    scale = (singular * signs).sum() / variance
    matrix = scale * rotation
    return np.hstack([matrix, (mean_y - matrix @ mean_x)[:, None]])


def align(
    photo: NDArray[np.uint8],
    landmarks: ArrayLike,
    size: int | tuple[int, int] = 112,
    name: str = ARCFACE,
) -> NDArray[np.uint8]:
    """Crop a face from a photo so that its landmarks match the template.

    Args:
        photo: uint8 [H, W, 3].
        landmarks: [5, 2], x and y in pixels of the photo, in the order of `Face.landmarks`.
        size: (height, width) of the crop, or one number for a square.
        name: The template.

    Returns:
        uint8 [height, width, 3], by linear interpolation; areas outside the photo are black.

    Raises:
        DataError: The landmarks cannot be aligned, or there is no such template.
    """
    height, width = (size, size) if isinstance(size, int) else size
    transform = similarity_transform(landmarks, template(name, (height, width)))
    crop: NDArray[np.uint8] = cv2.warpAffine(
        photo, transform, (width, height), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0)
    )
    return crop
