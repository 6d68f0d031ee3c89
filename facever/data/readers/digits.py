"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 pixels, no download.

Reference:
    Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI Repository, 1998.
"""

import numpy as np
from sklearn.datasets import load_digits

from facever.data.cached_manifest import cached_manifest
from facever.data.manifest import Manifest


def read() -> Manifest:
    """Return the digits; each digit is an identity. Sixteen grey levels are scaled to 0 to 255."""

    def load() -> tuple[np.ndarray, np.ndarray]:
        digits = load_digits()
        return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target

    return cached_manifest("digits", load)
