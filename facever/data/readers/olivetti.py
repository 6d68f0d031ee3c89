"""The Olivetti faces from scikit-learn: 400 images of 40 people, 64 x 64, grey.

Reference:
    Samaria, Harter: Parameterisation of a Stochastic Model for Human Face Identification, 1994.
"""

import subprocess
import sys

import numpy as np
from sklearn.datasets import fetch_olivetti_faces

from facever.data.cached_manifest import cached_manifest
from facever.data.manifest import Manifest
from facever.errors import DataError

_FETCH = "from sklearn.datasets import fetch_olivetti_faces as f; f(n_retries=1, delay=0.5)"


def read(seconds: float = 10.0) -> Manifest:
    """Return the faces; download them with scikit-learn if they are not on this machine yet.

    Args:
        seconds: Time limit of the download.

    Raises:
        DataError: The faces could not be downloaded in time.
    """

    def load() -> tuple[np.ndarray, np.ndarray]:
        try:
            faces = fetch_olivetti_faces(download_if_missing=False)
        except OSError:
            _fetch(seconds)
            faces = fetch_olivetti_faces(download_if_missing=False)
        return np.rint(faces.images * 255).astype(np.uint8), faces.target

    return cached_manifest("olivetti", load)


def _fetch(seconds: float) -> None:
    """Download in a separate process, which can be stopped at the deadline, including retries."""
    try:
        command = [sys.executable, "-c", _FETCH]
        subprocess.run(command, check=True, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise DataError(f"Olivetti faces: not downloaded within {seconds:g} s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise DataError(f"Olivetti faces: download failed ({reason})") from None
