"""scikit-learn's digits, kept in the cache."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from facever.data.decode import decode
from facever.data.readers import digits


def test_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path))
    manifest = digits.read()
    assert (len(manifest), manifest.dataset) == (1_797, "digits")
    assert manifest.identities == list("0123456789")
    source = load_digits()
    assert manifest.frame["identity"].astype(int).tolist() == source.target.tolist()
    image = decode(manifest.locate(99))
    assert image.shape == (8, 8, 3)
    np.testing.assert_allclose(image[..., 1] / 255 * 16, source.images[99], atol=0.04)
    monkeypatch.setattr(digits, "load_digits", None)  # the second time from the cache
    assert digits.read().frame.equals(manifest.frame)
