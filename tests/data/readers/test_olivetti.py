"""The Olivetti faces: cached, fetched, or given up in time."""

import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facever.data.decode import decode
from facever.data.readers import olivetti
from facever.errors import DataError

FACES = SimpleNamespace(
    images=np.linspace(0, 1, 3 * 64 * 64, dtype=np.float32).reshape(3, 64, 64),
    target=np.array([0, 0, 39]),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path))


def missing(download_if_missing: bool) -> None:
    assert not download_if_missing
    raise OSError("Data not found and `download_if_missing` is False")


def test_faces_become_eight_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(olivetti, "fetch_olivetti_faces", lambda **_: FACES)
    manifest = olivetti.read()
    assert manifest.frame["identity"].tolist() == ["0", "0", "39"]
    assert manifest.dataset == "olivetti"
    image = decode(manifest.locate(2))
    np.testing.assert_allclose(image[..., 0] / 255, FACES.images[2], atol=0.5 / 255 + 1e-6)


def test_a_download_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(olivetti, "fetch_olivetti_faces", missing)
    monkeypatch.setattr(olivetti, "_FETCH", "import time; time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(DataError, match=r"^Olivetti faces: not downloaded within 0\.3 s$"):
        olivetti.read(seconds=0.3)
    assert time.monotonic() - start < 5


def test_a_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(olivetti, "fetch_olivetti_faces", missing)
    monkeypatch.setattr(olivetti, "_FETCH", "raise OSError('no network')")
    with pytest.raises(DataError, match=r"download failed \(OSError: no network\)$"):
        olivetti.read()


def test_what_is_run_to_fetch_is_valid() -> None:
    assert compile(olivetti._FETCH, "fetch", "exec")


def test_a_fetch_is_followed_by_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[list[str]] = []

    def faces(download_if_missing: bool) -> SimpleNamespace:
        if not fetched:
            missing(download_if_missing)
        return FACES

    def run(command: list[str], **_: object) -> None:
        fetched.append(command)

    monkeypatch.setattr(olivetti, "fetch_olivetti_faces", faces)
    monkeypatch.setattr(subprocess, "run", run)
    assert len(olivetti.read()) == 3
    assert len(fetched) == 1
