"""Maintenance of a gallery: checks and removals."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from facever.errors import FaceverError
from facever.gallery import thresholds
from facever.gallery.index.checking import check_index
from facever.gallery.index.index import Index
from facever.gallery.records import Audited, Finding, person_id
from facever.gallery.store.store import Store

_REMOVALS = ("remove", "merge", "rename")  # actions after which an id is free


def findings(store: Store, index: Index) -> list[Finding]:
    """Return the problems of a gallery; see `Gallery.check`."""
    index.wait()  # an index that is being written is not a problem
    found: list[Finding] = []
    for part in (
        store.check(),
        thresholds.findings(store),
        check_index(store),
        _check_files(store.folder),
    ):
        try:
            found += list(part)
        except FaceverError as error:  # the store's findings already contain it
            if not found:
                found.append(Finding("store", str(error)))
    return found


def _check_files(folder: Path) -> Iterator[Finding]:
    """Yield the files of a gallery that users other than the owner can access."""
    modes = {}
    try:
        for path in [folder, *sorted(folder.iterdir())]:
            with suppress(FileNotFoundError):  # a temporary file of another thread or process
                modes[path] = path.stat().st_mode & 0o777
    except OSError as error:
        yield Finding("files", f"{folder} cannot be read: {error.strerror}")
        return
    for path, mode in modes.items():
        if mode & 0o077:
            yield Finding(
                "files", f"{path} is accessible to users other than the owner (mode {mode:o})"
            )


def removal_of(store: Store, person: str) -> Audited | None:
    """Return the last removal of a person's id; see `Gallery.removed`."""
    marks = dict.fromkeys(store.mark(one) for one in (person, person_id(person)))
    noted = [entry for mark in marks for entry in store.audit(mark)]
    removals = (entry for entry in noted if entry.action in _REMOVALS)
    ordered = sorted(removals, key=lambda entry: entry.change)
    return ordered[-1] if ordered else None
