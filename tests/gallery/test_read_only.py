"""A gallery where nothing can be written: asked by another user when the tests run as root."""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from facever.errors import GalleryError
from facever.gallery.export import read_export
from facever.gallery.gallery import Gallery

pytestmark = pytest.mark.in_folder(
    "it is about the rights of files; of roles: store/postgres/test_guide.py"
)


def as_another_user(task: Callable[[], object]) -> object:
    """Return what a task returns in a process of another user."""
    forking = multiprocessing.get_context("fork")
    here, there = forking.Pipe()
    process = forking.Process(target=_act, args=(task, there))
    process.start()
    there.close()
    said = here.recv()
    process.join()
    return said


def _act(task: Callable[[], object], pipe: Connection) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        pipe.send(task())
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


@pytest.fixture
def locked(gallery: Gallery, faces) -> Iterator[Path]:
    """The gallery in a folder that everybody may read and nobody write, beside one for results.

    It is not below pytest's own folder: every other run of pytest closes that to others again.
    """
    gallery.update("a", {"site": "A"})
    gallery.rebuild()
    gallery.search(faces, 1)  # FAISS is imported before the other user comes
    gallery.close()
    made = Path(tempfile.mkdtemp(prefix="facever-test-"))
    made.chmod(0o777)
    folder = made / "gallery"
    shutil.copytree(gallery.path, folder)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(made)


def test_it_is_asked_and_exported(locked: Path, faces) -> None:
    def ask() -> object:
        with Gallery.open(locked) as gallery:
            found = gallery.search(faces, 1, where={"site": "A"})
            same = gallery.verify(faces, "single").scores[59]
            info = gallery.info()
            images = gallery.export(locked.parent / "out")
            kinds = {finding.part for finding in gallery.check()}
        persons = {answer.candidates[0].person for answer in found}
        return persons, round(same, 5), info.read_only, info.images, images, kinds

    before = {path: path.read_bytes() for path in locked.iterdir()}
    assert as_another_user(ask) == ({"a"}, 1, True, 60, 60, {"files"})
    assert {path: path.read_bytes() for path in locked.iterdir()} == before
    assert len(read_export(locked.parent / "out").times) == 60


def test_every_change_is_one_line(locked: Path, faces, make_point) -> None:
    changes: list[Callable[[Gallery], object]] = [
        lambda gallery: gallery.enroll(faces),
        lambda gallery: gallery.remove("a"),
        lambda gallery: gallery.remove_all(["a"]),
        lambda gallery: gallery.update("a", {"k": 1}),
        lambda gallery: gallery.merge("a", "b"),
        lambda gallery: gallery.split("a", ["0.jpg"], "n"),
        lambda gallery: gallery.set_templates("mean"),
        lambda gallery: gallery.set_storage("int8"),
        lambda gallery: gallery.rebuild(),
        lambda gallery: gallery.rebuild("flat"),
        lambda gallery: gallery.purge(),
        lambda gallery: gallery.add_operating_point("door", make_point("1:N")),
        lambda gallery: gallery.abandon_migration(),
    ]

    def try_all() -> object:
        said = []
        with Gallery.open(locked) as gallery:
            for change in changes:
                try:
                    said.append(repr(change(gallery)))
                except GalleryError as error:
                    said.append(str(error))
        return said

    line = f"{locked / 'gallery.db'} cannot be written by this user; it is open read-only"
    assert as_another_user(try_all) == [line] * len(changes)


def test_no_permission(locked: Path) -> None:
    def open_it() -> object:
        Gallery.open(locked).close()

    locked.chmod(0o000)
    said = f"GalleryError: {locked} cannot be read: Permission denied"
    assert as_another_user(open_it) == said
    locked.chmod(0o555)
    (locked / "gallery.db").chmod(0o000)
    assert as_another_user(open_it) == (
        f"UnavailableError: {locked / 'gallery.db'}: it or its folder cannot be read and written "
        "by this user"
    )
