"""The gallery: people and their images' vectors, asked who someone is and whether it is them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from facever.core.files import atomic_folder
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import GalleryError
from facever.gallery.asking import Asking
from facever.gallery.changing import Changing
from facever.gallery.index.kinds import checked_kind
from facever.gallery.intake import binding_of
from facever.gallery.keeping import Keeping
from facever.gallery.records import Settings
from facever.gallery.store.coding import checked_storage
from facever.gallery.store.store import Store
from facever.gallery.templates import checked_policy
from facever.models.protocol import Model


class Gallery(Asking, Changing, Keeping):
    """A folder of enrolled people, bound to one model; make it with `create` or `open`.

    Every vector that comes in must be of the model (the fingerprint) that the gallery is bound to.
    An EmbeddingSet says so itself; with plain vectors the caller says so: `fingerprint=`. Scores
    are cosines. One process at a time writes, any number read, and each sees whole enrolments.

    Example:
        >>> from facever import EmbeddingSet, Gallery
        >>> faces = EmbeddingSet.from_arrays([[1, 0], [0, 1]], ["Ada", "Bob"], fingerprint="demo")
        >>> with Gallery.create(path, fingerprint="demo", dimension=2) as gallery:
        ...     _ = gallery.enroll(faces)
        ...     answer = gallery.search([[0.8, 0.6]], k=1, fingerprint="demo")[0]
        >>> answer.candidates
        [Candidate(person='Ada', score=0.800000011920929, probability=None)]
    """

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
            metric: Without a model: what it was trained to be compared by; kept for the record.
                "cosine" where it is not given.
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
            raise GalleryError(f"{path} is there already; open it, or choose another path")
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
