"""The gallery: people and their images' vectors, for searches (1:N) and verifications (1:1)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import ArrayLike

from facever.core.files import atomic_folder
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import GalleryError
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery import enrollment, export, maintenance, search, thresholds, verification
from facever.gallery.answers import Enrollment, SearchResult, Verification
from facever.gallery.checks import Conflicts
from facever.gallery.index.index import Index
from facever.gallery.index.kinds import checked_kind
from facever.gallery.info import GalleryInfo, info_of
from facever.gallery.inputs import Faces, binding_of, checked_vectors
from facever.gallery.records import (
    Audited,
    Binding,
    Duplicates,
    Finding,
    MigrationState,
    PendingImage,
    PersonImages,
    Settings,
    StoredImage,
    Vectors,
)
from facever.gallery.storage import checked_storage
from facever.gallery.store.store import Store
from facever.gallery.templates import checked_policy
from facever.models.protocol import Model
from facever.operating_point import OperatingPoint, ScoreRule


class Gallery:
    """A folder of enrolled people, bound to one model; make it with `create` or `open`.

    It holds a store, which is the truth, and an index, which follows the store and is rebuilt where
    it is missing or damaged. Threads may share one gallery.

    Every vector that comes in must be of the model (the fingerprint) that the gallery is bound to.
    An EmbeddingSet says so itself; with plain vectors the caller says so: `fingerprint=`. Scores
    are cosines. One process at a time writes, any number read, and each sees whole changes: a
    change that fails changes nothing, and one that returns is kept.

    Every change raises GalleryError when another process keeps writing, when the gallery cannot be
    written by this user, and when the disk is full. Nothing is changed then.

    Args:
        store: Open; it is closed with the gallery.
        path: The gallery's folder.
        wait: Seconds to wait for another writer.

    Example:
        >>> from facever import EmbeddingSet, Gallery
        >>> faces = EmbeddingSet.from_arrays([[1, 0], [0, 1]], ["Ada", "Bob"], fingerprint="demo")
        >>> with Gallery.create(path, fingerprint="demo", dimension=2) as gallery:
        ...     _ = gallery.enroll(faces)
        ...     answer = gallery.search([[0.8, 0.6]], k=1, fingerprint="demo")[0]
        >>> answer.candidates
        [Candidate(person='Ada', score=0.800000011920929, probability=None)]
    """

    def __init__(self, store: Store, path: Path, wait: float) -> None:
        self._store, self.path = store, path
        self._index = Index(store, wait)

    @classmethod
    def create(
        cls,
        path: str | Path,
        model: Model | EmbeddingSet | None = None,
        *,
        fingerprint: str | None = None,
        dimension: int | None = None,
        metric: str | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        templates: str = "all",
        storage: str = "float32",
        index: str = "auto",
        wait: float = 10.0,
    ) -> Self:
        """Make an empty gallery, readable by its owner only, and open it.

        It is bound to a model: to all that the model's vectors depend on. For vectors whose model
        is not at hand the caller says what they are, by a fingerprint and a dimension.

        Args:
            path: A folder that does not exist or is empty.
            model: The model (`facever.load_model`, or any `facever.Model`), or an embedding set
                that it made.
            fingerprint: Without a model: any name of the vectors' origin.
            dimension: Without a model: of the vectors.
            metric: Without a model: the metric that it was trained for; kept for the record.
                "cosine" by default.
            preprocessing: Without a model: of the model; kept for the record.
            options: Without a model: of the extraction, such as {"flip": True}. The command line
                embeds by them, so vectors that `facever` made need them.
            templates: What people are compared by: "all" of their images, their "mean",
                "quality_mean" (weighted by the images' quality, else their norm), or "medoids:K".
            storage: How vectors are written: "float32", "float16" or "int8".
            index: "auto", "flat" or a FAISS factory string.
            wait: Seconds to wait for another writer before giving up.

        Raises:
            GalleryError: Something is at `path`, it cannot be written, a model and a fingerprint
                are given or neither, no origin or dimension is declared, or no such templates,
                storage or index.
            ModelError: `model` is not one.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise GalleryError(f"{path} already exists; open it, or choose another path")
        binding = binding_of(
            model,
            fingerprint=fingerprint,
            dimension=dimension,
            metric=metric,
            preprocessing=preprocessing,
            options=options,
        )
        settings = Settings(
            checked_policy(templates),
            checked_storage(storage),
            checked_kind(index, binding.dimension),
        )
        try:
            place = path.resolve() if path.is_symlink() else path
            with atomic_folder(place, private=True, replace=False) as folder:
                Store.create(folder, binding, settings, shown_as=path)
        except OSError as error:
            raise GalleryError(f"{path} cannot be made: {error.strerror}") from error
        return cls.open(path, wait=wait)

    @classmethod
    def open(cls, path: str | Path, *, wait: float = 10.0) -> Self:
        """Open a gallery; one that cannot be written is open for reading only.

        Args:
            path: Its folder.
            wait: Seconds to wait for another writer before giving up.

        Raises:
            GalleryError: There is none, or it is damaged or of a newer format.
        """
        path = Path(path)
        return cls(Store.open(path, wait), path, wait)

    def close(self) -> None:
        """Finish writing the index and close the files."""
        self._index.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- search and verification ------------------------------------------------------------

    def search(
        self,
        probes: Faces,
        k: int = 5,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule | None = None,
        where: Mapping[str, Any] | None = None,
        calibration: ScoreCalibration | str | None = None,
        decide: bool = False,
    ) -> SearchResult:
        """Find the k people who are nearest to each probe (1:N).

        Args:
            probes: An EmbeddingSet, unit vectors [Q, D] or one [D]. A row of an EmbeddingSet whose
                image could not be embedded has that as its answer.
            k: How many people, at most.
            fingerprint: The origin of plain vectors.
            operating_point: A 1:N operating point, or the name of one in the gallery, or None for
                the gallery's only one. With a 1:1 one, none, or one that the gallery has outgrown,
                there are scores, `known` is None and `note` says why.
            rule: A person's score is the largest cosine over their images, or templates, ("max")
                or the mean. By default the operating point's rule, or "max".
            where: Only people whose metadata matches: by key the value, or a list of values of
                which it is one.
            calibration: A 1:N calibration, or the name of one in the gallery, or None for the
                gallery's only one that fits: how probable it is that the first candidate is right.
            decide: Raise an error where no decision is possible, instead of answering with scores.

        Raises:
            GalleryError: Vectors as in `enroll`; an operating point or calibration that is given
                and is of another model, another rule or other templates; nothing decides and
                `decide` is set.
        """
        return search.search(
            self._store,
            self._index,
            probes,
            k,
            fingerprint=fingerprint,
            operating_point=operating_point,
            rule=rule,
            where=where,
            calibration=calibration,
            decide=decide,
        )

    def verify(
        self,
        probes: Faces,
        person: str,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule = "max",
        calibration: ScoreCalibration | str | None = None,
    ) -> Verification:
        """Say whether each probe shows a person (1:1).

        Args:
            probes: An EmbeddingSet, unit vectors [Q, D] or one [D]. A row of an EmbeddingSet whose
                image could not be embedded has that as its error.
            person: The id of the person whom they are claimed to show.
            fingerprint: The origin of plain vectors.
            operating_point: A 1:1 operating point, or the name of one in the gallery, or None for
                the gallery's only one. Without one that fits there are scores and no decision.
            rule: The score is the largest cosine over the person's images, or templates, ("max")
                or the mean.
            calibration: A 1:1 calibration, or the name of one in the gallery, or None for the
                gallery's only one that fits: how probable it is that it is the person.

        Raises:
            GalleryError: Vectors as in `enroll`, nobody of that id, or an operating point or
                calibration that is given and is of another model, of kind 1:N or of other
                templates.
        """
        return verification.verify(
            self._store,
            probes,
            person,
            fingerprint=fingerprint,
            operating_point=operating_point,
            rule=rule,
            calibration=calibration,
        )

    # -- enrolment --------------------------------------------------------------------------

    def enroll(
        self,
        faces: Faces,
        people: str | Sequence[str] | None = None,
        *,
        fingerprint: str | None = None,
        sources: Sequence[str | None] | None = None,
        hashes: Sequence[str | None] | None = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        duplicates: Duplicates = "skip",
        near: float | None = None,
        conflicts: Conflicts = "warn",
        conflict_point: str | None = None,
    ) -> Enrollment:
        """Add images of people: all of them, or on any error none.

        Args:
            faces: An EmbeddingSet, or unit vectors [N, D] (or one [D]). Rows of an EmbeddingSet
                whose image could not be embedded are skipped and reported. Its column `quality`,
                if it has one, weighs images for the templates "quality_mean"; else the norm does.
            people: Whom the images show: one id for all, or one each; by default the identities
                of the EmbeddingSet.
            fingerprint: The origin of plain vectors, or of an undeclared EmbeddingSet.
            sources: Where each image came from; by default the paths of the EmbeddingSet.
            hashes: A hash of each image's bytes, by which duplicates are recognised; without one
                they are by their source.
            metadata: By person id, any keys and values that JSON can hold; they are added to the
                person's metadata, also where all images of the person are duplicates.
            duplicates: An image that is enrolled already is skipped ("skip"), enrolled all the
                same ("keep"), or makes the whole enrolment fail ("refuse"). It is reported in any
                case.
            near: A cosine between 0 and 1: images above this similarity to an enrolled one are
                duplicates, too.
            conflicts: An image that matches another person above an operating point, enrolled or
                coming with it, is reported ("warn"), makes the whole enrolment fail ("refuse"), or
                is not looked for ("ignore").
            conflict_point: The name of that operating point; by default the gallery's only 1:N
                one, or else its only 1:1 one. Without any, conflicts are not looked for.

        Raises:
            GalleryError: Vectors of another model, another dimension, not of unit length or NaN;
                lengths that differ; an id that cannot be kept; a duplicate or conflict with
                "refuse"; an operating point that does not fit.
        """
        return enrollment.enroll(
            self._store,
            self._index,
            faces,
            people,
            enrollment.Checks(duplicates, near, conflicts, conflict_point),
            fingerprint=fingerprint,
            sources=sources,
            hashes=hashes,
            metadata=metadata,
        )

    def import_(
        self,
        path: str | Path,
        *,
        duplicates: Duplicates | None = None,
        near: float | None = None,
        conflicts: Conflicts = "warn",
        conflict_point: str | None = None,
    ) -> Enrollment:
        """Enroll what `export` wrote: people, metadata, sources, hashes, times and vectors.

        Args:
            path: The exported folder; all of it is enrolled, or nothing.
            duplicates: As in `enroll`, and so are `near`, `conflicts` and `conflict_point`. The
                default is "keep" for an empty gallery and "skip" for any other.

        Raises:
            GalleryError: It is no export, damaged, or of another model; or as in `enroll`.
            DataError: It is not even an embedding set.
        """
        return enrollment.enroll_export(
            self._store, self._index, Path(path), duplicates, near, conflicts, conflict_point
        )

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
        return export.write_export(self._store, Path(path))

    # -- people and images ------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """Of the extractor that the gallery is bound to."""
        return self._store.binding.fingerprint

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return self._store.binding.dimension

    def info(self) -> GalleryInfo:
        """Return what the gallery is bound to and holds."""
        return info_of(self._store, self.path)

    def people(self, where: Mapping[str, Any] | None = None) -> Iterator[PersonImages]:
        """Yield each person's id and number of images, in the order of their first enrolment.

        Args:
            where: As in `search`; by default all people. Values are texts, numbers, booleans or
                None.

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

    def metadata(self, person: str) -> dict[str, Any]:
        """Return a person's metadata.

        Raises:
            GalleryError: Nobody is enrolled under that id.
        """
        return self._store.metadata(person)

    def entries(self) -> tuple[list[str], Vectors]:
        """Return what a search compares with: the images, or the templates made of them.

        Returns:
            The person's id of each, and vectors float32 [N, D], unit rows.
        """
        with self._store.reading():
            found = self._store.entries_after(0)
            ids = self._store.ids(set(found.owners.tolist()))
        return [ids[key] for key in found.owners.tolist()], found.vectors

    def update(
        self,
        person: str,
        metadata: Mapping[str, Any] | None = None,
        remove_keys: Sequence[str] = (),
        new_id: str | None = None,
    ) -> None:
        """Change a person's metadata, or their id.

        Args:
            person: Their id.
            metadata: Keys and values to add; they replace those of the same keys.
            remove_keys: Keys to remove.
            new_id: Another id for the person, which nobody has.

        Raises:
            GalleryError: No such person or key, or an id that is taken.
        """
        self._store.update(person, metadata or {}, remove_keys, new_id)

    def merge(self, person: str, into: str) -> int:
        """Give a person's images to another: two ids turned out to be one person.

        Where both have a key of metadata, that of `into` stays. The images get new numbers.

        Returns:
            How many images were moved.

        Raises:
            GalleryError: No such person, or the same one twice.
        """
        moved = self._store.merge(person, into)
        self._index.settle()
        return moved

    def split(self, person: str, sources_or_images: Sequence[str | int], new_person: str) -> int:
        """Give some of a person's images to a new person: one id turned out to be two people.

        Args:
            person: Whose images they are.
            sources_or_images: Their sources, or their numbers as `images` shows them.
            new_person: An id that nobody has. The new person has no metadata.

        Returns:
            How many images were moved. They get new numbers.

        Raises:
            GalleryError: No such person or image, all of the person's images, or an id that is
                taken.
        """
        moved = self._store.split(person, sources_or_images, new_person)
        self._index.settle()
        return moved

    def remove(self, person: str, image: str | int | None = None) -> int:
        """Remove a person, or only one image of theirs; return how many images were removed.

        When it returns they are in no answer of any process any more. Their bytes are overwritten
        in the store, but may stay in its log and in the index until those are rewritten.

        Args:
            person: Their id.
            image: The image's source, or its number as `images` shows it; with a source, all
                images of the person from there.

        Raises:
            GalleryError: No such person or image.
        """
        removed = self._store.remove(person, image)
        self._index.settle()
        return removed

    def remove_all(self, people: Sequence[str]) -> int:
        """Remove people, all or on any error none, and return how many images were removed.

        Raises:
            GalleryError: Nobody of one of these ids.
        """
        removed = self._store.remove_all(people)
        self._index.settle()
        return removed

    def audit(self) -> list[Audited]:
        """Return what was removed and when, the oldest first; `removed` tells whether of whom."""
        return self._store.audit()

    def removed(self, person: str) -> Audited | None:
        """Return how and when the id of a person was last removed; None if it never was.

        It was removed ("remove"), or its images became another id's ("merge", "rename"). The
        gallery keeps no ids of people who were removed, only keyed hashes of the ids.
        """
        return maintenance.removal_of(self._store, person)

    # -- operating points and calibrations --------------------------------------------------

    def operating_points(self) -> dict[str, OperatingPoint]:
        """Return the operating points by name, without those that cannot be used (`info`)."""
        return thresholds.kept(self._store, OperatingPoint)[0]

    def add_operating_point(self, name: str, point: OperatingPoint) -> None:
        """Keep an operating point under a name; a warning says where it will decide nothing.

        Raises:
            GalleryError: It is of another model or not for cosines, or the name is taken.
            ConfigError: Its fields do not agree with each other.
        """
        thresholds.add(self._store, name, point)

    def remove_operating_point(self, name: str) -> None:
        """Remove an operating point.

        Raises:
            GalleryError: There is none of that name.
        """
        self._store.remove_measured(OperatingPoint.what, name)

    def calibrations(self) -> dict[str, ScoreCalibration]:
        """Return the calibrations by name, without those that cannot be used (`info`)."""
        return thresholds.kept(self._store, ScoreCalibration)[0]

    def add_calibration(self, name: str, calibration: ScoreCalibration) -> None:
        """Keep a calibration under a name; a warning says where it will give no probability.

        Raises:
            GalleryError: It is of another model or not for cosines, or the name is taken.
            ConfigError: Its fields do not agree with each other.
        """
        thresholds.add(self._store, name, calibration)

    def remove_calibration(self, name: str) -> None:
        """Remove a calibration.

        Raises:
            GalleryError: There is none of that name.
        """
        self._store.remove_measured(ScoreCalibration.what, name)

    # -- settings ---------------------------------------------------------------------------

    def set_templates(self, policy: str) -> None:
        """Compare people by other templates from now on; the vectors of all images stay.

        Args:
            policy: "all" images, their "mean", "quality_mean" (weighted by the images' quality,
                else by their norm), or "medoids:K", at most K images.

        Raises:
            GalleryError: No such policy, or one that somebody's images do not allow.
        """
        self._store.set_templates(policy)
        self._index.settle()

    def set_storage(self, kind: str) -> None:
        """Rewrite all vectors in another number format.

        To float16 and int8 they are rounded, and stay so when they become float32 again: for the
        exact ones their images must be enrolled again.

        Args:
            kind: "float32", "float16" (half of the bytes) or "int8" (a quarter).

        Raises:
            GalleryError: No such kind.
        """
        self._store.set_storage(kind)
        self._index.settle()

    # -- migration to another model ---------------------------------------------------------

    def begin_migration(self, binding: Binding) -> None:
        """Begin to move to another model, or resume; the old model serves until the end.

        Args:
            binding: What the gallery will be bound to.

        Raises:
            GalleryError: The gallery is of this model already, or a migration to yet another one
                has begun.
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
        """Add vectors of images by the new model.

        Args:
            images: Their numbers [N]; those that were removed meanwhile are skipped.
            vectors: Unit rows [N, D].
            norms: Lengths before normalising [N].
            fingerprint: Of the model that made them.

        Raises:
            GalleryError: No migration to that model is under way, or vectors of another dimension
                or not of unit length.
        """
        state = self._store.migration()
        bound = self._store.binding if state is None else state.binding
        checked = checked_vectors(vectors, fingerprint, bound)
        self._store.add_migrated(images, checked, norms, fingerprint)

    def finish_migration(self, fingerprint: str, remove: Sequence[int] = ()) -> int:
        """Let the new model serve, in one change.

        Operating points and calibrations are of the old model's scores, and are removed.

        Args:
            fingerprint: Of the new model.
            remove: Numbers of images that it could not embed and that are to be removed.

        Returns:
            How many images were removed.

        Raises:
            GalleryError: No migration to that model is under way, or other images are pending.
        """
        removed = self._store.finish_migration(fingerprint, remove)
        self._index.settle()
        return removed

    def abandon_migration(self) -> None:
        """Drop a migration and the vectors that it added; the gallery stays with its model.

        Raises:
            GalleryError: None is under way.
        """
        self._store.abandon_migration()

    # -- maintenance ------------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Return what is wrong with the gallery; an empty list when nothing is.

        Every row of the store is verified, templates are compared with the images, the index is
        compared with the store, and files must be their owner's only.
        """
        return maintenance.findings(self._store, self._index, self.path)

    def rebuild(self, index: str | None = None) -> None:
        """Rebuild the index from the store; every vector is verified, and damaged ones are named.

        Args:
            index: "auto", "flat" or a FAISS factory string, kept as a setting; by default the kind
                that is set.

        Raises:
            GalleryError: No such kind, or a folder that cannot be written.
        """
        self._store.require_writable()
        if index is not None:
            self._store.set_index(checked_kind(index, self.dimension))
        self._store.remake_templates()
        self._index.renew()

    def purge(self) -> None:
        """Rewrite the gallery's files, so that no byte of what was removed stays in them.

        The store is rewritten, its log is emptied, leftovers of killed writers are deleted, and
        the index is rebuilt. Copies of the folder, and what a disk keeps of overwritten files, are
        out of reach.

        Raises:
            GalleryError: Another process keeps reading, or the disk has no room for a second store.
        """
        with self._index.held_off():  # its reading would keep the store's log
            self._store.purge()
            self._index.renew()
