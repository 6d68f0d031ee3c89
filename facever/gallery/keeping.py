"""What keeps a gallery in order over the years."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from facever.errors import FaceverError
from facever.gallery.exports import write_export
from facever.gallery.index.checking import check_index
from facever.gallery.index.kinds import checked_kind
from facever.gallery.intake import checked_vectors
from facever.gallery.opened import Opened
from facever.gallery.records import (
    Audited,
    Binding,
    Finding,
    MigrationState,
    PendingImage,
    PersonImages,
    StoredImage,
    person_id,
    shown,
)


class Keeping(Opened):
    """What is there, how it is kept, and that what was removed is gone."""

    def people(self, where: Mapping[str, Any] | None = None) -> Iterator[PersonImages]:
        """Yield each person's id and how many images there are, as they were enrolled first.

        Args:
            where: By key of the metadata the value it has, or a list of values of which it has
                one: texts, numbers, booleans or None. By default all people.

        Raises:
            GalleryError: A key or value that metadata cannot be compared with.
        """
        return self._store.people(where)

    def images(self, person: str) -> list[StoredImage]:
        """Return what is known of a person's images.

        Raises:
            GalleryError: Nobody is enrolled under that id.
        """
        return self._store.images(person)

    # -- settings ---------------------------------------------------------------------------

    def set_templates(self, policy: str) -> None:
        """Compare people by other templates from now on; the vectors of all images stay.

        Args:
            policy: "all" images, their "mean", "quality_mean" (weighted by the images' quality,
                else by their norm), or "medoids:K", at most K images.

        Raises:
            GalleryError: No such policy, one that somebody's images do not allow, or another
                process that keeps writing.
        """
        self._store.set_templates(policy)
        self._index.settle()

    def set_storage(self, kind: str) -> None:
        """Write all vectors otherwise from now on.

        To float16 and int8 they are rounded, and stay so when they become float32 again: for the
        exact ones their images must be enrolled again.

        Args:
            kind: "float32", "float16" (half of the bytes) or "int8" (a quarter).

        Raises:
            GalleryError: No such kind, or another process that keeps writing.
        """
        self._store.set_storage(kind)
        self._index.settle()

    def rebuild(self, index: str | None = None) -> None:
        """Write the index anew from the store; every vector is verified, and the damaged are named.

        Args:
            index: "auto", "flat" or a FAISS factory string, kept as a setting; by default the kind
                that is set.

        Raises:
            GalleryError: No such kind, another process that keeps writing, or a folder that cannot
                be written.
        """
        self._store.require_writable()
        if index is not None:
            self._store.set_index(checked_kind(index, self.dimension))
        self._store.remake_templates()
        self._index.renew()

    # -- migration to another model ---------------------------------------------------------

    def begin_migration(self, binding: Binding) -> None:
        """Begin to move to another model, or go on with that; the old one serves until the end.

        Args:
            binding: What the gallery will be bound to.

        Raises:
            GalleryError: The gallery is of this model already, a migration to yet another one has
                begun, or another process keeps writing.
        """
        self._store.begin_migration(binding)

    def migration(self) -> MigrationState | None:
        """Return how far a migration is; None when there is none."""
        return self._store.migration()

    def pending_images(self) -> Iterator[PendingImage]:
        """Yield the images that the new model has yet to embed, in the order of their numbers."""
        return self._store.pending_images()

    def add_migrated(
        self,
        images: Sequence[int],
        vectors: ArrayLike,
        norms: Sequence[float | None],
        *,
        fingerprint: str,
    ) -> None:
        """Keep images' vectors by the new model; they are kept when this returns.

        Args:
            images: Their numbers [N]; those that are gone meanwhile are left out.
            vectors: Unit rows [N, D].
            norms: Lengths before normalising [N].
            fingerprint: Of the model that made them.

        Raises:
            GalleryError: No migration to that model is under way, vectors of another dimension or
                not of unit length, or another process that keeps writing.
        """
        state = self._store.migration()
        bound = self._store.binding if state is None else state.binding
        checked = checked_vectors(vectors, fingerprint, bound)
        self._store.add_migrated(images, checked, norms, fingerprint)

    def finish_migration(self, fingerprint: str, remove: Sequence[int] = ()) -> int:
        """Let the new model serve: all of it, in one transaction.

        Operating points and calibrations are of the old model's scores, and go.

        Args:
            fingerprint: Of the new model.
            remove: Numbers of images that it could not embed and that are to be removed.

        Returns:
            How many images were removed.

        Raises:
            GalleryError: No migration to that model is under way, other images are pending, or
                another process keeps writing.
        """
        removed = self._store.finish_migration(fingerprint, remove)
        self._index.settle()
        return removed

    def abandon_migration(self) -> None:
        """Forget a migration and what it embedded; the gallery stays with its model.

        Raises:
            GalleryError: None is under way, or another process keeps writing.
        """
        self._store.abandon_migration()

    # -- whether all is well, and copies ----------------------------------------------------

    def check(self) -> list[Finding]:
        """Return what is wrong with the gallery: nothing, if all is well.

        Every row of the store is looked at, templates are made again from the images, the index is
        compared with the store, and files must be their owner's only.
        """
        self._index.wait()  # what is being written is not wrong
        found = []
        for part in (
            self._store.check(),
            self._check_decisions(),
            check_index(self._store),
            check_files(self.path),
        ):
            try:
                found += list(part)
            except FaceverError as error:  # what the store says of itself is enough, once
                if not found:
                    found.append(Finding("store", str(error)))
        return found

    def _check_decisions(self) -> Iterator[Finding]:
        for unusable in (self._unusable_points(), self._unusable_calibrations()):
            for broken in unusable.values():
                yield Finding("decisions", f"{broken.reason}; remove it")
        for name, one in [*self.operating_points().items(), *self.calibrations().items()]:
            if one.fingerprint != self.fingerprint:
                yield Finding("decisions", f"{shown(name)} is of another model, {one.fingerprint}")

    def export(self, path: str | Path) -> int:
        """Write all people and images as an embedding set with all that is known of them.

        `import_` makes the same of it in another gallery. Operating points and calibrations are
        not in it.

        Args:
            path: A folder that does not exist, is empty or holds an embedding set, which is
                replaced. It is readable by its owner only, and as worth protecting as the gallery.

        Returns:
            How many images it has.

        Raises:
            GalleryError: It cannot be written.
            DataError: Something else is at `path`.
        """
        return write_export(self._store, Path(path))

    # -- what went --------------------------------------------------------------------------

    def purge(self) -> None:
        """Write the gallery's files anew, so that no byte of what was removed stays in them.

        The store is written anew, its log is emptied, leftovers of killed writers are deleted, and
        the index is made again. Copies of the folder, and what a disk keeps of overwritten files,
        are out of reach.

        Raises:
            GalleryError: Another process keeps reading or writing, the folder cannot be written, or
                the disk has no room for a second store.
        """
        with self._index.held_off():  # its reading would keep the store's log
            self._store.purge()
            self._index.renew()

    def audit(self) -> list[Audited]:
        """Return what was removed and when, the oldest first; whom, only `removed` can tell."""
        return self._store.audit()

    def removed(self, person: str) -> Audited | None:
        """Return how and when the id of a person last went; None if it never did.

        It was removed ("remove"), or its images became another id's ("merge", "rename"). The
        gallery keeps no ids of those who went, only a keyed hash by which one is recognised.
        """
        gone = ("remove", "merge", "rename")
        marks = dict.fromkeys(self._store.mark(one) for one in (person, person_id(person)))
        noted = [entry for mark in marks for entry in self._store.audit(mark)]
        went = sorted((e for e in noted if e.action in gone), key=lambda entry: entry.change)
        return went[-1] if went else None


def check_files(folder: Path) -> Iterator[Finding]:
    """Yield which files of a gallery others than its owner may use."""
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
            yield Finding("files", f"{path} is open to others than its owner (mode {mode:o})")
