"""The gallery: people and their images' vectors, for searches (1:N) and verifications (1:1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike

from facever.core.text import canonical
from facever.data.crops import KeptCrop
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import UnavailableError
from facever.evaluation.score_calibration import ScoreCalibration
from facever.gallery import enrollment, export, maintenance, search, thresholds, verification
from facever.gallery.answers import Enrollment, SearchResult, Verification
from facever.gallery.checks import Conflicts
from facever.gallery.export import PersonExport
from facever.gallery.index.index import Index
from facever.gallery.info import GalleryInfo, info_of
from facever.gallery.inputs import Cameras, Faces, Probing, Times, binding_of, checked_vectors
from facever.gallery.pgvector import PgvectorKind
from facever.gallery.place import checked_index, create_store, place_of, require_free
from facever.gallery.records import (
    Audited,
    Binding,
    Duplicates,
    Entries,
    Equivalence,
    Finding,
    MigrationState,
    PendingImage,
    PersonImages,
    Settings,
    StoredImage,
    Vectors,
)
from facever.gallery.storage import checked_storage
from facever.gallery.store.entry_search import EntrySearch
from facever.gallery.store.postgres.address import GalleryAddress
from facever.gallery.store.store import Store
from facever.gallery.templates import checked_policy
from facever.gallery.uses import UseLog
from facever.models.protocol import Model
from facever.operating_point import OperatingPoint, ScoreRule

if TYPE_CHECKING:
    from facever.models.extraction import LoadedModel
    from facever.models.photos import Photos


class Gallery:
    """A folder of enrolled people, bound to one model; make it with `create` or `open`.

    It has a store, which holds the data, and an index, which is derived from the store and rebuilt
    if it is missing or damaged. Threads may share one gallery.

    Every vector must be made by the model (the fingerprint) that the gallery is bound to. An
    EmbeddingSet contains its fingerprint; for plain vectors give `fingerprint=`. Scores are cosine
    similarities. One process at a time can write and any number can read. Changes are atomic and
    durable: a change that fails changes nothing, and one that returns is stored.

    Every change raises GalleryError, and changes nothing, when another process keeps writing, when
    this user cannot write to the gallery, and when the disk is full.

    Args:
        store: An open store; it is closed with the gallery.
        place: The gallery's folder, or its address in PostgreSQL.
        wait: Seconds to wait for another writer.

    Attributes:
        path: The gallery's folder, or its address in PostgreSQL without the user and the password.

    Example:
        >>> from facever import EmbeddingSet, Gallery
        >>> faces = EmbeddingSet.from_arrays([[1, 0], [0, 1]], ["Ada", "Bob"], fingerprint="demo")
        >>> with Gallery.create(path, fingerprint="demo", dimension=2) as gallery:
        ...     _ = gallery.enroll(faces)
        ...     answer = gallery.search([[0.8, 0.6]], k=1, fingerprint="demo")[0]
        >>> answer.candidates
        [Candidate(person='Ada', score=0.800000011920929, probability=None)]
    """

    def __init__(self, store: Store, place: Path | GalleryAddress, wait: float) -> None:
        self._store, self._place = store, place
        self.path = place.name if isinstance(place, GalleryAddress) else place
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
        keep_crops: bool = False,
        wait: float = 10.0,
    ) -> Self:
        """Create an empty gallery, readable by its owner only, and open it.

        It is bound to a model, including every setting that its vectors depend on. For vectors
        without a model, give a fingerprint and a dimension.

        Args:
            path: A folder that does not exist or is empty, or an address in PostgreSQL:
                "postgresql://HOST/DATABASE?gallery=NAME".
            model: The model (`facever.load_model`, or any `facever.Model`), or an embedding set
                made by it.
            fingerprint: Without a model: any name of the vectors' origin.
            dimension: Without a model: dimension of the vectors.
            metric: Without a model: metric that the model was trained for, for information; by
                default "cosine".
            preprocessing: Without a model: preprocessing of the model, for information.
            options: Without a model: options of the extraction, such as {"flip": True}. The command
                line uses them to embed images.
            templates: Templates of a person: "all" images, their "mean",
                "quality_mean" (weighted by the images' quality, else their norm), or "medoids:K".
            storage: Number format of stored vectors: "float32", "float16" or "int8".
            index: "auto", "flat", a FAISS factory string, or in PostgreSQL "pgvector".
            keep_crops: Whether to keep of each enrolled image the crop that the model saw; see
                `set_keep_crops`.
            wait: Seconds to wait for another writer before giving up.

        Raises:
            GalleryError: Something exists at `path`, the folder cannot be written, both or neither
                of a model and a fingerprint are given, the dimension is missing, templates,
                storage or index are unknown, or crops are to be kept and the model does not state
                the size of its input.
            ModelError: `model` is neither a model nor an embedding set.
        """
        place = place_of(path)
        require_free(place)
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
            checked_index(place, index, binding.dimension),
            keep_crops,
        )
        create_store(place, binding, settings)
        return cls.open(path, wait=wait)

    @classmethod
    def open(cls, path: str | Path, *, wait: float = 10.0) -> Self:
        """Open a gallery; read-only if this user cannot write to it.

        Args:
            path: Its folder, or its address in PostgreSQL.
            wait: Seconds to wait for another writer before giving up.

        Raises:
            GalleryError: There is no gallery at `path`, or it is damaged or has a newer format.
        """
        place = place_of(path)
        return cls(Store.open(place, wait), place, wait)

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
        probes: Probing,
        k: int = 5,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule | None = None,
        where: Mapping[str, Any] | None = None,
        where_images: Mapping[str, Any] | None = None,
        calibration: ScoreCalibration | str | None = None,
        decide: bool = False,
    ) -> SearchResult:
        """Find the k most similar people for each probe (1:N).

        Args:
            probes: An EmbeddingSet, `EmbeddedProbes`, unit vectors [Q, D] or one [D]. For a row
                without a vector, the answer has the error.
            k: Maximum number of people per probe.
            fingerprint: Fingerprint of the model that made plain vectors.
            operating_point: A 1:N operating point, or the name of one in the gallery, or None for
                the gallery's only one. With a 1:1 one, with none, or with one that the gallery has
                outgrown, the answers have scores, `known` is None and `note` has the reason.
            rule: A person's score is the maximum ("max") or the mean ("mean") of the cosine
                similarities over their images or templates. By default the operating point's rule,
                or "max".
            where: Filter by metadata: for each key a value, a list of allowed values, or a range
                {"from": VALUE, "to": VALUE}, of which one may be missing; both ends are included.
            where_images: Compare with these enrolled images only: `camera`, one or a list, and
                `taken`, a range {"from": TIME, "to": TIME} as for `where`. People without such an
                image are not searched. The gallery must have templates "all".
            calibration: A 1:N calibration, or the name of one in the gallery, or None for the
                gallery's only one that fits. It gives the probability that the first candidate is
                correct.
            decide: Raise an error if no decision is possible, instead of returning scores.

        Raises:
            GalleryError: Invalid vectors, as in `enroll`; the given operating point or calibration
                is for another model, rule or templates; or `decide` is set and no decision is
                possible.
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
            where_images=where_images,
            calibration=calibration,
            decide=decide,
        )

    def verify(
        self,
        probes: Probing,
        person: str,
        *,
        fingerprint: str | None = None,
        operating_point: OperatingPoint | str | None = None,
        rule: ScoreRule = "max",
        calibration: ScoreCalibration | str | None = None,
    ) -> Verification:
        """Decide whether each probe shows a person (1:1).

        Args:
            probes: An EmbeddingSet, `EmbeddedProbes`, unit vectors [Q, D] or one [D]. For a row
                without a vector, the result has the error.
            person: Id of the claimed person.
            fingerprint: Fingerprint of the model that made plain vectors.
            operating_point: A 1:1 operating point, or the name of one in the gallery, or None for
                the gallery's only one. Without one that fits, the result has scores and no
                decision.
            rule: The score is the maximum ("max") or the mean ("mean") of the cosine similarities
                over the person's images or templates.
            calibration: A 1:1 calibration, or the name of one in the gallery, or None for the
                gallery's only one that fits. It gives the probability that a probe shows the
                person.

        Raises:
            GalleryError: Invalid vectors, as in `enroll`; no person with that id; or the given
                operating point or calibration is for another model or templates, or of kind 1:N.
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
        cameras: Cameras = None,
        taken: Times = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
        duplicates: Duplicates = "skip",
        near: float | None = None,
        conflicts: Conflicts = "warn",
        conflict_point: str | None = None,
    ) -> Enrollment:
        """Add images of people. On an error, nothing is added.

        Args:
            faces: An EmbeddingSet, or unit vectors [N, D] (or one [D]). Rows of an EmbeddingSet
                without a vector are skipped and reported. Its column `quality`, if present, weights
                images for the templates "quality_mean"; otherwise the norm is the weight. Its crops
                (`embed_images(keep_crops=True)`) are kept by a gallery that keeps crops.
            people: Id of the person in each image, or one id for all; by default the identities of
                the EmbeddingSet.
            fingerprint: Fingerprint of the model that made plain vectors, or an EmbeddingSet that
                has none.
            sources: Source of each image; by default the paths of the EmbeddingSet.
            hashes: Hash of each image's bytes, to recognise duplicates; without a hash, the source
                is used.
            cameras: Camera that took each image, or one for all; by default the column `camera` of
                the EmbeddingSet.
            taken: Time when each image was taken, or one for all: ISO 8601 or a datetime, with an
                offset from UTC; by default the column `taken` of the EmbeddingSet.
            metadata: Keys and values (JSON) by person id. They are added to the person's metadata,
                even if all images of the person are duplicates.
            duplicates: An image that is already enrolled is skipped ("skip"), enrolled again
                ("keep"), or makes the whole enrolment fail ("refuse"). It is always reported.
            near: A cosine similarity between 0 and 1: an image above it to an enrolled one is a
                duplicate.
            conflicts: An image that matches another person above an operating point, enrolled or in
                the same call, is reported ("warn") or makes the whole enrolment fail ("refuse");
                with "ignore" there is no such check.
            conflict_point: The name of that operating point; by default the gallery's only 1:N one,
                else its only 1:1 one. Without any, conflicts are not checked.

        Raises:
            GalleryError: Vectors have another fingerprint or dimension, are NaN or not of unit
                length; arguments have different lengths; an id, camera or time cannot be stored;
                there is a duplicate or conflict with "refuse"; or the operating point does not fit.
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
            cameras=cameras,
            taken=taken,
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
        """Enroll an export: people, metadata, sources, hashes, times and vectors.

        Args:
            path: The exported folder. On an error, nothing is enrolled.
            duplicates: As in `enroll`, like `near`, `conflicts` and `conflict_point`. The default
                is "keep" for an empty gallery, else "skip".

        Raises:
            GalleryError: The folder is not an export, is damaged, or has another fingerprint; or as
                in `enroll`.
            DataError: The folder is not an embedding set.
        """
        return enrollment.enroll_export(
            self._store, self._index, Path(path), duplicates, near, conflicts, conflict_point
        )

    def export(self, path: str | Path) -> int:
        """Write all people and images with their metadata as an embedding set.

        `import_` adds it to another gallery. It does not contain operating points and calibrations.

        Args:
            path: A folder that does not exist, is empty or contains an embedding set, which is
                replaced. It is readable by its owner only; protect it like the gallery.

        Returns:
            The number of images written.

        Raises:
            GalleryError: The folder cannot be written.
            DataError: Something else exists at `path`.
        """
        return export.write_export(self._store, Path(path))

    # -- people and images ------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model that the gallery is bound to."""
        return self._store.binding.fingerprint

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""
        return self._store.binding.dimension

    def accepts(self, fingerprint: str) -> bool:
        """Return whether vectors of this fingerprint are taken: the gallery's, or an equivalent."""
        return fingerprint == self.fingerprint or fingerprint in self._store.equivalents

    @property
    def identifier(self) -> str:
        """The gallery's identifier; copies of a gallery share it."""
        return self._store.gallery

    @property
    def change(self) -> int:
        """The number of the last change."""
        return self._store.change().number

    def info(self) -> GalleryInfo:
        """Return the gallery's model, settings and counts."""
        return info_of(self._store, self.path, self._index.screen())

    def people(self, where: Mapping[str, Any] | None = None) -> Iterator[PersonImages]:
        """Yield each person's id and number of images, in the order of their first enrolment.

        Args:
            where: As in `search`; by default all people. Values are strings, numbers, booleans or
                None.

        Raises:
            GalleryError: A key or value has an unsupported type.
        """
        return self._store.people(where)

    def people_page(
        self, limit: int, after: int = 0, where: Mapping[str, Any] | None = None
    ) -> tuple[list[PersonImages], int | None]:
        """Return some people, in the order of their first enrolment.

        Args:
            limit: Maximum number of people, at least 1.
            after: Where to begin: the second value of the page before, else 0. It stays valid if
                people are removed.
            where: As in `search`; by default all people.

        Returns:
            Each person's id and number of images, and where the next page begins; None at the end.

        Raises:
            GalleryError: A key or value of the filter has an unsupported type.
        """
        return self._store.people_page(limit, after, where or {})

    def add_person(self, person: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Add a person without images.

        Args:
            person: A free id.
            metadata: Keys and values (JSON).

        Raises:
            TakenError: The id is taken.
            GalleryError: The id or the metadata cannot be stored.
        """
        self._store.add_person(person, metadata or {})

    def images(self, person: str) -> list[StoredImage]:
        """Return the records of a person's images.

        Raises:
            GalleryError: No person with that id is enrolled.
        """
        return self._store.images(person)

    def crop(self, person: str, image: int) -> bytes:
        """Return the kept crop of an image: what the model saw, a PNG file without metadata.

        Args:
            person: The person's id.
            image: The image's number, as in `images`.

        Raises:
            NotEnrolledError: There is no such person or image, no crop of it, or a damaged one.
        """
        return self._store.crop(person, image).png

    def crops(self, images: Sequence[int]) -> Iterator[tuple[int, KeptCrop]]:
        """Yield the kept crops of images, with their numbers; report damaged ones."""
        return self._store.crops(images)

    def metadata(self, person: str) -> dict[str, Any]:
        """Return a person's metadata.

        Raises:
            GalleryError: No person with that id is enrolled.
        """
        return self._store.metadata(person)

    def person_export(self, person: str) -> PersonExport:
        """Return all that the gallery keeps of one person.

        Raises:
            NotEnrolledError: No person with that id is enrolled.
        """
        return export.export_person(self._store, person)

    def entries(self) -> tuple[list[str], Vectors]:
        """Return the entries of searches: images, or the templates made of them.

        Returns:
            The person's id of each entry, and the vectors float32 [N, D], unit rows.
        """
        with self._store.reading():
            found = self._store.entries_after(0)
            ids = self._store.ids(set(found.owners.tolist()))
        return [ids[key] for key in found.owners.tolist()], found.vectors

    def trial_search(
        self, kind: PgvectorKind, entries: Entries
    ) -> AbstractContextManager[EntrySearch]:
        """Yield a search of some entries by the database of the gallery, which is not changed.

        Args:
            kind: The kind of search.
            entries: The entries; they need not be those of the gallery.

        Raises:
            GalleryError: The gallery is a folder; the database has no pgvector, or this role may
                not make temporary tables there.
        """
        return self._store.trial_search(kind, entries)

    def update(
        self,
        person: str,
        metadata: Mapping[str, Any] | None = None,
        remove_keys: Sequence[str] = (),
        new_id: str | None = None,
    ) -> None:
        """Change a person's metadata or id.

        Args:
            person: Their id.
            metadata: Keys and values to add; they replace existing values of the same keys.
            remove_keys: Keys to remove.
            new_id: A new id for the person; it must be free.

        Raises:
            GalleryError: There is no such person or key, or the new id is taken.
        """
        self._store.update(person, metadata or {}, remove_keys, new_id)
        if new_id is not None:
            self._in_log(lambda log: log.rename(person, canonical(new_id)))

    def merge(self, person: str, into: str) -> int:
        """Move all images of a person to another person: two ids are the same person.

        If both have a metadata key, the value of `into` is kept. The images get new numbers.

        Returns:
            The number of images moved.

        Raises:
            GalleryError: There is no such person, or both ids are the same.
        """
        moved = self._store.merge(person, into)
        self._index.settle()
        self._in_log(lambda log: log.rename(person, canonical(into)))
        return moved

    def split(self, person: str, sources_or_images: Sequence[str | int], new_person: str) -> int:
        """Move some of a person's images to a new person: one id was two people.

        Args:
            person: Id of the person who has the images.
            sources_or_images: Sources of the images, or their numbers as in `images`.
            new_person: A free id. The new person has no metadata.

        Returns:
            The number of images moved. They get new numbers.

        Raises:
            GalleryError: There is no such person or image, these are all of the person's images, or
                the new id is taken.
        """
        moved = self._store.split(person, sources_or_images, new_person)
        self._index.settle()
        return moved

    def remove(self, person: str, image: str | int | None = None) -> int:
        """Remove a person, or only one of their images; return the number of images removed.

        After the call, no answer of any process contains them, and in the log of uses a random word
        stands for a removed person. Their bytes are overwritten in the
        store, but can remain in its log and in the index until `purge`.

        Args:
            person: The person's id.
            image: The image's source, or its number as in `images`. A source removes all images of
                the person with this source.

        Raises:
            GalleryError: There is no such person or image.
        """
        removed = self._store.remove(person, image)
        self._index.settle()
        if image is None:
            self._in_log(lambda log: log.forget([person]))
        return removed

    def remove_all(self, people: Sequence[str]) -> int:
        """Remove people and return the number of images removed. On an error, nothing is removed.

        Raises:
            GalleryError: There is no person with one of these ids.
        """
        removed = self._store.remove_all(people)
        self._index.settle()
        self._in_log(lambda log: log.forget(people))
        return removed

    def audit(self) -> list[Audited]:
        """Return all removals with their time, oldest first; see `removed` for one person."""
        return self._store.audit()

    def removed(self, person: str) -> Audited | None:
        """Return how and when a person's id was last removed; None if it never was.

        The id was removed ("remove"), or its images were moved to another id ("merge", "rename").
        The gallery does not store ids of removed people, only keyed hashes of them.
        """
        return maintenance.removal_of(self._store, person)

    # -- operating points and calibrations --------------------------------------------------

    def operating_points(self) -> dict[str, OperatingPoint]:
        """Return the usable operating points by name; `info` lists unusable ones."""
        return thresholds.kept(self._store, OperatingPoint)[0]

    def add_operating_point(self, name: str, point: OperatingPoint) -> None:
        """Store an operating point under a name; warn if it will not decide.

        Raises:
            GalleryError: It is for another model or not for cosine similarity, or the name is
                taken.
            ConfigError: Its fields contradict each other.
        """
        thresholds.add(self._store, name, point)

    def remove_operating_point(self, name: str) -> None:
        """Remove an operating point.

        Raises:
            GalleryError: There is no operating point of that name.
        """
        self._store.remove_measured(OperatingPoint.what, name)

    def calibrations(self) -> dict[str, ScoreCalibration]:
        """Return the usable calibrations by name; `info` lists unusable ones."""
        return thresholds.kept(self._store, ScoreCalibration)[0]

    def add_calibration(self, name: str, calibration: ScoreCalibration) -> None:
        """Store a calibration under a name; warn if it will not give probabilities.

        Raises:
            GalleryError: It is for another model or not for cosine similarity, or the name is
                taken.
            ConfigError: Its fields contradict each other.
        """
        thresholds.add(self._store, name, calibration)

    def remove_calibration(self, name: str) -> None:
        """Remove a calibration.

        Raises:
            GalleryError: There is no calibration of that name.
        """
        self._store.remove_measured(ScoreCalibration.what, name)

    # -- settings ---------------------------------------------------------------------------

    def set_templates(self, policy: str) -> None:
        """Change the template policy; the vectors of all images are kept.

        Args:
            policy: "all" images, their "mean", "quality_mean" (weighted by the images' quality,
                else by their norm), or "medoids:K", at most K images.

        Raises:
            GalleryError: There is no such policy, or the images of a person do not allow it.
        """
        self._store.set_templates(policy)
        self._index.settle()

    def set_storage(self, kind: str) -> None:
        """Rewrite all vectors in another number format.

        Conversion to float16 and int8 rounds them. Conversion back to float32 does not restore the
        exact values; for these, enroll the images again.

        Args:
            kind: "float32", "float16" (half the bytes) or "int8" (a quarter).

        Raises:
            GalleryError: There is no such format.
        """
        self._store.set_storage(kind)
        self._index.settle()

    @property
    def keeps_crops(self) -> bool:
        """Whether the crop that the model saw of each new image is kept."""
        return self._store.settings.keep_crops

    def set_keep_crops(self, keep: bool) -> int:
        """Keep the crops of images that are enrolled from now on, or none, also of the others.

        A crop is the face, aligned, or the given crop, in the size that the model's preprocessing
        takes; the photo is not kept. Vectors without an image, and tracks, have none.

        Args:
            keep: With False, all kept crops are removed.

        Returns:
            The number of crops that were removed.

        Raises:
            GalleryError: The gallery's model does not state the size of its input.
        """
        return self._store.set_keep_crops(keep)

    # -- equivalent models ------------------------------------------------------------------

    def accept_equivalent(
        self,
        model: "LoadedModel",
        *,
        original: "LoadedModel | None" = None,
        images: str | Path | None = None,
        root: str | Path | None = None,
        photos: "Photos" = None,
    ) -> Equivalence:
        """Take the vectors of another model like those of the gallery's, after a measurement.

        For an fp32 file that `facever export` made of the gallery's model: searches, verifications
        and enrolments with it work then, and operating points stay valid. Every cosine distance
        must be at most 1e-5. By default the stored vectors are compared, on images whose files
        still have the enrolled bytes.

        Args:
            model: The other model.
            original: The gallery's model, to compare with it on `images` instead.
            images: A data set.
            root: Folder of images that are no longer at their source, and of named data sets.
            photos: As for `migrate_gallery`.

        Returns:
            What was measured, as it is stored (`info().equivalents`).

        Raises:
            GalleryError: The model is of another precision or was made of another model, its
                fingerprint is not computed from its network, its vectors differ, or fewer than 8
                images could be compared.
        """
        from facever.gallery.equivalence import equivalence_of  # data sets, for those who need them

        self._store.require_writable()
        found = equivalence_of(
            self._store, model, original, images, None if root is None else Path(root), photos
        )
        self._store.accept_equivalent(found)
        return found

    def remove_equivalent(self, fingerprint: str) -> None:
        """Refuse an equivalent model from now on; vectors that were enrolled by it remain.

        Raises:
            GalleryError: There is no equivalent of that fingerprint.
        """
        self._store.remove_equivalent(fingerprint)

    # -- migration to another model ---------------------------------------------------------

    def begin_migration(self, binding: Binding) -> None:
        """Begin or resume a migration to another model; the old model stays in use until the end.

        Args:
            binding: The new model's binding.

        Raises:
            GalleryError: The gallery already uses this model, or a migration to a third model has
                begun.
        """
        self._store.begin_migration(binding)

    def migration(self) -> MigrationState | None:
        """Return the progress of a migration; None if there is none."""
        return self._store.migration()

    def pending_images(self) -> Iterator[PendingImage]:
        """Yield the images that the new model has not embedded yet, in the order of their
        numbers.
        """
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
            images: Numbers of the images [N]; images that have been removed are skipped.
            vectors: Unit rows [N, D].
            norms: Lengths before normalisation [N].
            fingerprint: Fingerprint of the model that made the vectors.

        Raises:
            GalleryError: There is no migration to that model, or the vectors have another dimension
                or are not of unit length.
        """
        state = self._store.migration()
        bound = self._store.binding if state is None else state.binding
        checked = checked_vectors(vectors, fingerprint, bound)
        self._store.add_migrated(images, checked, norms, fingerprint)

    def finish_migration(self, fingerprint: str, remove: Sequence[int] = ()) -> int:
        """Switch to the new model, in one change.

        Operating points and calibrations apply to the old model's scores and are removed.

        Args:
            fingerprint: Fingerprint of the new model.
            remove: Numbers of images without a new vector that are to be removed.

        Returns:
            The number of images removed.

        Raises:
            GalleryError: There is no migration to that model, or other images have no new vector.
        """
        removed = self._store.finish_migration(fingerprint, remove)
        self._index.settle()
        return removed

    def abandon_migration(self) -> None:
        """Discard a migration and its vectors; the gallery keeps its model.

        Raises:
            GalleryError: There is no migration.
        """
        self._store.abandon_migration()

    # -- maintenance ------------------------------------------------------------------------

    def size(self) -> int:
        """Return the bytes of the gallery's files, or of its tables in PostgreSQL."""
        return self._store.size()

    def check(self) -> list[Finding]:
        """Return the problems of the gallery; an empty list if there are none.

        Verifies every row of the store, the templates against the images, the index against the
        store, and that only the owner can access the files.
        """
        return maintenance.findings(self._store, self._index)

    def rebuild(self, index: str | None = None) -> None:
        """Rebuild the index from the store. Verifies every vector and reports damaged ones.

        Args:
            index: "auto", "flat", a FAISS factory string, or in PostgreSQL "pgvector", stored as
                the new setting; by default the current setting.

        Raises:
            GalleryError: There is no such kind, or the folder cannot be written.
        """
        self._store.require_writable()
        if index is None or not self._store.set_index(
            checked_index(self._place, index, self.dimension)
        ):
            self._store.remake_search()
        self._store.remake_templates()
        self._index.renew()

    def purge(self) -> None:
        """Rewrite the gallery's files so that no byte of removed data remains in them.

        Rewrites the store, empties its log, deletes temporary files of killed writers and rebuilds
        the index. It does not erase copies of the folder or overwritten blocks on the disk.

        Raises:
            GalleryError: Another process keeps reading, or the disk has no room for a second store.
        """
        with self._index.held_off():  # a reading index would keep the store's log in use
            self._store.purge()
            self._index.renew()
        self._in_log(lambda log: log.purge())

    def _in_log(self, change: Callable[[UseLog], None]) -> None:
        """Change the log of uses, if the gallery has one, after a change of the gallery.

        Raises:
            UnavailableError: The log cannot be changed; the gallery was.
        """
        try:
            log = UseLog.existing(self._place)
            if log is not None:
                with log:
                    change(log)
        except UnavailableError as error:
            raise UnavailableError(
                f"the gallery was changed, but its log of uses was not: {error}; erase the person "
                "there with 'facever gallery uses --erase'"
            ) from error
