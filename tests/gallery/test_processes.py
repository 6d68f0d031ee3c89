"""A gallery in several processes and threads: whole states only, and one writer at a time."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.records import Binding

HELPER = """
import json, os, sys, time
from contextlib import suppress
import numpy as np
from facever.gallery.gallery import Gallery
from facever.gallery.records import Binding

def units(count, seed, dimension=8):
    rows = np.random.default_rng(seed).normal(size=(count, dimension)).astype("f4")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

def come_and_go(gallery, times):
    for each in range(times):
        gallery.enroll(units(20, each), f"guest {each}", fingerprint="model-1")
        if each % 2:
            gallery.remove(f"guest {each - 1}")

def hold(gallery, seconds):
    with suppress(InterruptedError), gallery._store._database.writing():
        print("held", flush=True)
        time.sleep(seconds)
        raise InterruptedError

def change_templates(gallery, times):
    for each in range(times):
        gallery.set_templates("all" if each % 2 else "mean")

def migrate(gallery, times):
    for each in range(times):
        name, dimension = ("model-1", 8) if each % 2 else ("model-2", 12)
        gallery.begin_migration(Binding(name, dimension))
        images = [image.image for image in gallery.pending_images()]
        new = np.eye(dimension, dtype="f4")[: len(images)]
        gallery.add_migrated(images, new, [1.0] * len(images), fingerprint=name)
        gallery.finish_migration(name)

def live(path, _):
    os.umask(0)
    with Gallery.create(path, fingerprint="model-1", dimension=8) as gallery:
        for each in range(3):
            gallery.enroll(units(1500, each), [f"{each} {i % 700}" for i in range(1500)],
                           fingerprint="model-1")
            gallery.search(units(1, each), fingerprint="model-1")
        gallery.rebuild("IVF16,Flat:nprobe=4")
        gallery.set_templates("mean")
        gallery.remove("0 1")
        gallery.purge()
        gallery.export(path + ".export")

print("ready", flush=True)
for line in sys.stdin:
    verb, path, given = json.loads(line)
    if verb == "live":
        live(path, given)
    else:
        with Gallery.open(path) as gallery:
            globals()[verb](gallery, given)
    print("done", flush=True)
"""


class Helper:
    """Another process, which does one thing after the other to galleries."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, verb: str, path: str | Path, given: float = 0) -> None:
        assert self._process.stdin is not None
        print(json.dumps([verb, str(path), given]), file=self._process.stdin, flush=True)
        self._done = threading.Thread(target=self.hear)
        self._said = ""

    def hear(self) -> str:
        assert self._process.stdout is not None
        self._said = self._process.stdout.readline().strip()
        return self._said

    def working(self) -> Iterator[None]:
        """Yield for as long as it works."""
        self._done.start()
        while self._done.is_alive():
            yield
        assert self._said == "done"

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0


@pytest.fixture(scope="module")
def helper() -> Iterator[Helper]:
    other = Helper()
    assert other.hear() == "ready"
    yield other
    other.end()


@pytest.fixture
def axes(empty: Gallery) -> Gallery:
    """Two people of two images each, every image at right angles to the others."""
    vectors = np.eye(8, dtype=np.float32)[:4]
    empty.enroll(vectors, list("aabb"), fingerprint="model-1", sources=list("1234"))
    return empty


def ask(gallery: Gallery) -> tuple:
    """Search for one image of each of the two people."""
    found = gallery.search(np.eye(8, dtype=np.float32)[[0, 2]], 2, fingerprint="model-1")
    return tuple((a.candidates[0].person, round(a.candidates[0].score, 3)) for a in found)


OLD, MEAN = (("a", 1.0), ("b", 1.0)), (("a", 0.707), ("b", 0.707))


def test_a_reader_sees_whole_enrolments(
    helper: Helper, empty: Gallery, place, units: Callable
) -> None:
    states, probes = Counter[int](), units(2, seed=99)
    empty.enroll(units(20, seed=98), "first", fingerprint="model-1")
    empty.search(probes, fingerprint="model-1")
    helper.begin("come_and_go", place, 30)
    for _ in helper.working():
        for _ in range(30):
            info = empty.info()
            assert info.images == info.entries == 20 * info.people
            states[info.people] += 1
        before = empty.info()
        answer = empty.search(probes, 50, fingerprint="model-1")[0]
        people = [candidate.person for candidate in answer.candidates]
        assert len(set(people)) == len(people)
        if empty.info().change == before.change:  # nobody came or went while it searched
            assert len(people) == before.people
    assert len(states) > 1  # it was read while people came and went; how often is the scheduler's
    assert empty.info().people == 16
    assert empty.check() == []


def test_a_second_writer_waits(helper: Helper, axes: Gallery, place, units: Callable) -> None:
    helper.begin("hold", place, 0.3)
    assert helper.hear() == "held"
    start = time.monotonic()
    axes.enroll(units(1), "late", fingerprint="model-1")
    assert time.monotonic() - start > 0.1
    assert helper.hear() == "done"


def test_a_second_writer_gives_up(helper: Helper, axes: Gallery, place, units: Callable) -> None:
    with Gallery.open(place, wait=0.1) as hasty:
        helper.begin("hold", place, 2.0)
        assert helper.hear() == "held"
        before = hasty.info()
        for change in (
            lambda: hasty.enroll(units(1), "late", fingerprint="model-1"),
            lambda: hasty.remove("a"),
            lambda: hasty.merge("a", "b"),
            lambda: hasty.purge(),
        ):
            with pytest.raises(GalleryError) as refusal:
                change()
            said = str(refusal.value)
            assert said.startswith(str(axes.path))
            assert ": another process is writing to it (waited 0.1 s); try again" in said
        assert ask(hasty) == OLD  # readers do not wait
        assert hasty.info() == before
        assert helper.hear() == "done"
        assert hasty.remove("a") == 2


def test_templates_change_at_once(helper: Helper, axes: Gallery, place) -> None:
    helper.begin("change_templates", place, 60)
    seen = Counter(ask(axes) for _ in helper.working())
    assert set(seen) <= {OLD, MEAN}  # a state that ends within each question is not seen
    assert ask(axes) == OLD
    with Gallery.open(place) as other:
        other.set_templates("mean")
        assert ask(axes) == MEAN
        other.set_templates("all")
        assert ask(axes) == OLD


def test_a_migration_happens_at_once(helper: Helper, axes: Gallery, place) -> None:
    seen = Counter[object]()
    helper.begin("migrate", place, 41)
    for _ in helper.working():
        try:
            seen[ask(axes)] += 1
            seen[tuple(axes.verify(np.eye(1, 8), "a", fingerprint="model-1").scores)] += 1
        except GalleryError as error:
            seen[str(error)] += 1
    refused = (
        "vectors with fingerprint model-1 do not match the gallery's fingerprint model-2: embed "
        "the "
        "images with the gallery's model"
    )
    assert set(seen) == {OLD, (1.0,), refused}
    assert axes.fingerprint == "model-2"
    with pytest.raises(GalleryError, match=r"model-1 do not match the gallery's .* model-2"):
        axes.enroll(np.eye(1, 8), "late", fingerprint="model-1")
    assert axes.check() == []


def test_threads_share_a_gallery_whose_entries_become_others(axes: Gallery) -> None:
    seen, errors, stop = Counter[tuple](), [], threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                seen[ask(axes)] += 1
            except GalleryError as error:
                if "do not match the gallery" not in str(error):
                    errors.append(error)
            except BaseException as error:
                errors.append(error)

    askers = [threading.Thread(target=search) for _ in range(2)]
    for asker in askers:
        asker.start()
    for each in range(20):
        axes.set_templates("all" if each % 2 else "mean")
        time.sleep(0.001)
    for each in range(20):
        name, dimension = ("model-1", 8) if each % 2 else ("model-2", 12)
        axes.begin_migration(Binding(name, dimension))
        images = [image.image for image in axes.pending_images()]
        axes.add_migrated(images, np.eye(dimension)[:4], [1.0] * 4, fingerprint=name)
        axes.finish_migration(name)
        time.sleep(0.002)
    stop.set()
    for asker in askers:
        asker.join()
    assert errors == []
    assert set(seen) == {OLD, MEAN}


def test_files_are_their_owners_from_the_first_moment(helper: Helper, tmp_path: Path) -> None:
    """Under a umask that forbids nothing, all that is there while another process works."""
    wrong, seen = set(), set()
    helper.begin("live", tmp_path / "gallery")
    for _ in helper.working():
        for folder in [entry for entry in os.scandir(tmp_path) if entry.is_dir()]:
            for entry in [folder, *_entries(folder.path)]:
                try:
                    mode = entry.stat().st_mode & 0o777
                except FileNotFoundError:
                    continue
                seen.add(entry.name)
                if mode & 0o077 and not (entry is not folder and "export" in folder.name):
                    wrong.add((entry.name, oct(mode)))
    assert wrong == set()
    assert {"gallery", "gallery.db", "gallery.db-wal", "index.snapshot", "index.faiss"} <= seen
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {mode for name, mode in modes.items() if "." in name[1:]} >= {0o600}
    assert all(mode in (0o600, 0o700) for mode in modes.values())


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        return list(os.scandir(folder))
    except FileNotFoundError:
        return []
