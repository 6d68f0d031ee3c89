"""Flipped bits in small; and the soak does see what is wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

SOAK = Path(__file__).parents[2] / "tools" / "soak"


@pytest.fixture
def flips(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(SOAK))
    import gallery_flips

    return gallery_flips


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_some_flips(flips, tmp_path: Path, storage: str) -> None:
    outcomes = flips.attack(tmp_path, range(29, 64, 17), 3, storage, 0)
    assert sum(outcomes.values()) == 12


def test_a_checksum_that_is_not_looked_at_is_seen(
    flips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "facever.gallery.store.vectors.intact", lambda numbers, *_: np.ones(len(numbers), bool)
    )
    with pytest.raises(AssertionError):
        flips.attack(tmp_path, range(30, 31), 0, "float32", 0)
