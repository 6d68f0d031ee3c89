"""From images into a gallery, and answers to images: an Extractor and a Gallery joined."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from facever.data.decode import decode
from facever.data.manifest import Manifest
from facever.data.readers.folder import images_below
from facever.data.sources import load
from facever.embedding.extractor import Extractor, load_model
from facever.errors import DataError, GalleryError
from facever.evaluation.operating_point import OperatingPoint, ScoreRule
from facever.evaluation.scoring.similarity import make_scorer
from facever.files import sha256_of_file
from facever.gallery.answers import Enrollment, SearchResult, Verification
from facever.gallery.decisions import require_fit
from facever.gallery.gallery import Gallery
from facever.gallery.records import Duplicates
from facever.training.run import Run
from facever.vectors.embedding_set import META, EmbeddingSet

_WORTH_WORKERS = 1000  # images: starting processes takes longer than reading fewer
_OPTIONS = ("flip", "precision")  # of an extraction, those that change the vectors


def create_gallery(path: str | Path, made_by: Extractor | EmbeddingSet) -> Gallery:
    """Make an empty gallery that is bound to a model, or to the origin of an embedding set.

    Raises:
        GalleryError: Something is at `path`, or the embedding set's origin is not declared.
    """
    if isinstance(made_by, EmbeddingSet):
        meta = made_by.meta
        return Gallery.create(
            path,
            fingerprint=meta.fingerprint,
            dimension=meta.dimension,
            metric=meta.metric,
            preprocessing=meta.preprocessing,
            options={name: meta.options[name] for name in _OPTIONS if name in meta.options},
        )
    return Gallery.create(
        path,
        fingerprint=made_by.fingerprint,
        dimension=made_by.dimension,
        metric=made_by.card.metric,
        preprocessing=made_by.embedder.preprocessing.model_dump(mode="json"),
        options={"flip": made_by.flip, "precision": made_by.precision},
    )


def gallerys_extractor(gallery: Gallery, model: str | Path, device: str = "auto") -> Extractor:
    """Load a gallery's model with the extraction options that the gallery is bound to.

    Raises:
        GalleryError: It is another model; both fingerprints are shown.
        ModelError: There is no usable model.
    """
    options = gallery.info().options
    flip, precision = bool(options.get("flip", False)), options.get("precision", "fp32")
    extractor = load_model(model, device=device, flip=flip, precision=precision)
    require_model(gallery, extractor)
    return extractor


def require_model(gallery: Gallery, extractor: Extractor) -> None:
    """Refuse a model that is not the gallery's.

    Raises:
        GalleryError: Both fingerprints are shown.
    """
    if extractor.fingerprint != gallery.fingerprint:
        raise GalleryError(
            f"the model is of fingerprint {extractor.fingerprint}, the gallery {gallery.path} of "
            f"{gallery.fingerprint}: use the gallery's model, or make another gallery"
        )


def manifest_of(given: Sequence[str], person: str | None, data: Path | None = None) -> Manifest:
    """Return the images that a person names on a command line, and whom they show.

    Args:
        given: Images and folders of images of one `person`; without one, a single folder, table
            or data set that says itself whom its images show.
        person: Whom all of them show.
        data: Where named data sets are.

    Raises:
        DataError: No such path, no images, or nobody says whom they show.
    """
    if person is None:
        if len(given) == 1 and not _is_picture(Path(given[0])):
            return load(given[0], data)
        raise DataError(f"whom does {given[0]} show? say it with --person ID")
    paths: list[str] = []
    for name in given:
        path = Path(name).absolute()
        if path.is_dir():
            paths += [str(path / image) for image in images_below(path)]
        elif path.is_file():
            paths.append(str(path))
        else:
            raise DataError(f"no such path: {name}")
    if not paths:
        raise DataError(f"no images in {given[0]}")
    frame = pd.DataFrame({"path": paths, "identity": person})
    return Manifest.from_frame(frame, Path.cwd(), "images")


def embeddings_of(given: Sequence[str]) -> EmbeddingSet:
    """Open the one embedding set that is named where no model is.

    Raises:
        DataError: It is not one, or more than one thing is named.
    """
    path = Path(given[0])
    if len(given) > 1 or not path.is_dir() or not (path / META).is_file():
        what = f"{path} is not an embedding set" if path.exists() else f"no such path: {path}"
        raise DataError(f"{what}; images are enrolled with --model MODEL")
    return EmbeddingSet.load(path)


def enroll_images(
    gallery: Gallery,
    extractor: Extractor,
    manifest: Manifest,
    *,
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
    duplicates: Duplicates = "skip",
    workers: int | Literal["auto"] | None = None,
) -> Enrollment:
    """Embed the images of a manifest and enroll them, all in one transaction.

    Unreadable images are left out and reported. Duplicates are recognised by the images' bytes.

    Args:
        gallery: Where to.
        extractor: The gallery's model.
        manifest: The images, and whom they show.
        metadata: As in `Gallery.enroll`.
        duplicates: As in `Gallery.enroll`.
        workers: Processes that load images; chosen by the number of images when not given.

    Raises:
        GalleryError: As in `Gallery.enroll`, or another model.
        DataError: Not one image could be read.
    """
    require_model(gallery, extractor)
    if workers is None:
        workers = "auto" if len(manifest) > _WORTH_WORKERS else 0
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        faces = extractor.extract(manifest, Path(folder) / "faces", workers=workers)
        hashes = [
            _hash(manifest.locate(row)) if acquired else None
            for row, acquired in enumerate(faces.acquired)
        ]
        return gallery.enroll(faces, hashes=hashes, metadata=metadata, duplicates=duplicates)


def search_images(
    gallery: Gallery,
    extractor: Extractor,
    images: Sequence[str | Path],
    k: int = 5,
    operating_point: OperatingPoint | str | None = None,
    rule: ScoreRule | None = None,
) -> SearchResult:
    """Find the people who are nearest to each image, as `Gallery.search` does.

    Raises:
        ImageError: An image cannot be read.
        GalleryError: As in `Gallery.search`, or another model.
    """
    require_model(gallery, extractor)
    vectors = extractor.embed(list(images))
    return gallery.search(
        vectors,
        k,
        fingerprint=extractor.fingerprint,
        operating_point=operating_point,
        rule=rule,
    )


def verify_image(
    gallery: Gallery,
    extractor: Extractor,
    person: str,
    image: str | Path,
    operating_point: OperatingPoint | str | None = None,
) -> Verification:
    """Say whether an image shows a person of the gallery, as `Gallery.verify` does.

    Raises:
        ImageError: The image cannot be read.
        GalleryError: As in `Gallery.verify`, or another model.
    """
    require_model(gallery, extractor)
    return gallery.verify(
        extractor.embed(image),
        person,
        fingerprint=extractor.fingerprint,
        operating_point=operating_point,
    )


@dataclass(frozen=True)
class PairVerification:
    """Whether two images show the same person.

    Args:
        score: How alike they are; larger means more alike.
        similarity: What the score is: cosine, euclidean (minus the squared distance) or dot.
        same: The decision, or None where nothing decides.
        operating_point: What decided, or None.
        fingerprint: Of the model and its options.
        note: Why there is no decision, or an empty text.
    """

    score: float
    similarity: str
    same: bool | None
    operating_point: OperatingPoint | None
    fingerprint: str
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        point = self.operating_point
        dumped = point.model_dump(mode="json") if point is not None else None
        return {**asdict(self), "operating_point": dumped}


def run_operating_point(model: str | Path) -> OperatingPoint | None:
    """Return the operating point in a run folder; None where there is none."""
    path = Run(Path(model)).operating_point
    return OperatingPoint.load(path) if path.is_file() else None


def verify_pair(
    extractor: Extractor,
    image_a: str | Path,
    image_b: str | Path,
    operating_point: OperatingPoint | None = None,
) -> PairVerification:
    """Say whether two images show the same person (1:1).

    The score is the operating point's; without one it is the model's own, and nothing decides.

    Raises:
        ImageError: An image cannot be read.
        GalleryError: The operating point is of another model or not for two images.
    """
    if operating_point is not None:
        require_fit(operating_point, extractor.fingerprint, "the model")
        if operating_point.kind != "1:1-image":
            raise GalleryError(
                f"a {operating_point.kind} operating point does not decide between two images: "
                "give one of kind 1:1-image"
            )
    paths = [str(Path(image).absolute()) for image in (image_a, image_b)]
    pair = Manifest.from_frame(
        pd.DataFrame({"path": paths, "identity": ["a", "b"]}), Path.cwd(), "pair"
    )
    with tempfile.TemporaryDirectory(prefix="facever-") as folder:
        faces = extractor.extract(pair, Path(folder) / "faces", workers=0, on_error="raise")
        similarity = operating_point.similarity if operating_point else faces.meta.metric
        first, second = faces.select([0]), faces.select([1])
    norms = [side.rows["norm"].to_numpy() for side in (first, second)]
    scorer = make_scorer(first.vectors, similarity, norms[0], second.vectors, norms[1])
    score = float(scorer.pairs(np.zeros(1, int), np.zeros(1, int))[0])
    note = "" if operating_point else "score only: there is no operating point to decide by"
    same = operating_point.accepts(score) if operating_point else None
    return PairVerification(score, similarity, same, operating_point, extractor.fingerprint, note)


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() not in (".csv", ".parquet")


def _hash(path: str) -> str:
    """Return the SHA-256 of an image's bytes, or of its pixels inside an array file."""
    if Path(path).is_file():
        return sha256_of_file(Path(path))
    return hashlib.sha256(decode(path).tobytes()).hexdigest()
