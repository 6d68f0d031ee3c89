"""Kills and damage: every acknowledged enrolment is there, whole, and answers stay the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facever.gallery.gallery import Gallery
from facever.gallery.index import snapshot as snapshots

PEOPLE = 1500  # enough for a snapshot

WORKER = """
import sys, numpy as np
from facever.gallery.gallery import Gallery
with Gallery.open(sys.argv[1]) as gallery:
    print("ready", flush=True)
    for step in range(10_000):
        vectors = np.random.default_rng(step).normal(size=(300, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        names = [f"{sys.argv[2]}-{step}"] * 300
        gallery.enroll(vectors, names, fingerprint="model-1")
        print(step, flush=True)
        if step % 3 == 2:
            gallery.remove(f"{sys.argv[2]}-{step - 1}")
            print(-step, flush=True)
"""


def test_killed_in_the_middle_of_changes(empty: Gallery, place, units) -> None:
    random, living = np.random.default_rng(0), 0
    for round_ in range(3):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(place), f"r{round_}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(random.uniform(0.05, 0.3))
        worker.send_signal(signal.SIGKILL)
        said = [int(line) for line in worker.stdout.read().split()]
        worker.wait()
        with Gallery.open(place) as gallery:
            info = gallery.info()
            assert info.images == 300 * info.people  # whole enrolments only
            acknowledged = sum(step >= 0 for step in said) - sum(step < 0 for step in said)
            # one change may have been made without the time to say so
            assert acknowledged - 1 <= info.people - living <= acknowledged + 1
            living = info.people
            found = gallery.search(units(50), 1, fingerprint="model-1")
            ids = {candidate.person for answer in found for candidate in answer.candidates}
            assert all(person.startswith("r") for person in ids)
            gallery.enroll(units(1, seed=round_), "between", fingerprint="model-1")
            gallery.remove("between")
    assert living > 0


@pytest.fixture
def indexed(empty: Gallery, units, index_folder: Path) -> Path:
    """The snapshot of a closed gallery."""
    names = [f"p{i % PEOPLE}" for i in range(2 * PEOPLE)]
    empty.enroll(units(2 * PEOPLE), names, fingerprint="model-1")
    empty.close()
    assert snapshots.count_in(index_folder / snapshots.FILE) == 2 * PEOPLE
    return index_folder / snapshots.FILE


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "missing"),
        (lambda path: os.truncate(path, 1000), "damaged"),
        (lambda path: os.truncate(path, 0), "damaged"),
        (lambda path: path.write_text("[]"), "damaged"),
        (_flip, "damaged"),
    ],
)
def test_a_lost_or_damaged_index_is_made_again_with_the_same_answers(
    indexed: Path,
    place,
    units,
    capsys: pytest.CaptureFixture[str],
    damage: Damage,
    said: str,
) -> None:
    probes, path = units(9, seed=1), indexed
    with Gallery.open(place) as gallery:
        before = gallery.search(probes, 7, fingerprint="model-1")
    capsys.readouterr()
    whole = path.read_bytes()
    damage(path)
    with Gallery.open(place) as gallery:
        assert gallery.search(probes, 7, fingerprint="model-1") == before
    assert f"{path} is {said}: it is rebuilt" in capsys.readouterr().err
    assert path.read_bytes() == whole
    with Gallery.open(place) as gallery:
        assert gallery.search(probes, 7, fingerprint="model-1") == before
    assert capsys.readouterr().err == ""


@pytest.mark.in_folder("it copies the file; PostgreSQL: test_faults.py of its store")
def test_an_index_of_another_copy_of_the_store_is_not_trusted(
    indexed: Path, place, units, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backup of the store is put back under an index that is newer than it, or has forked off."""
    store, index = place / "gallery.db", indexed
    backup = store.read_bytes()
    with Gallery.open(place) as gallery:
        gallery.enroll(units(3000, seed=2), "late", fingerprint="model-1")
    forked = index.read_bytes()
    store.write_bytes(backup)
    with Gallery.open(place) as gallery:  # as many changes as the index knows, but others
        gallery.enroll(units(1, seed=3), "other", fingerprint="model-1")
    index.write_bytes(forked)
    capsys.readouterr()
    with Gallery.open(place) as gallery:
        found = gallery.search(units(3000, seed=2), 1, fingerprint="model-1")
    assert "late" not in {answer.candidates[0].person for answer in found}
    assert f"{index} is of another state of the gallery: it is rebuilt" in capsys.readouterr().err


def test_an_index_that_cannot_be_written_costs_nothing_but_speed(
    indexed: Path,
    place,
    units,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facever.gallery.index.writing.write_snapshot", full)
    indexed.unlink()
    with Gallery.open(place) as gallery:
        assert len(gallery.search(units(2), 3, fingerprint="model-1")) == 2
    assert "was not written ([Errno 28] No space left on device)" in capsys.readouterr().err
