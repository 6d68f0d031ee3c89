"""The Recognizer: a model and a gallery joined. Images in, answers out, all in memory."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from facever.data.given import Given, hash_of, listed
from facever.data.manifest import Manifest
from facever.errors import DataError, GalleryError
from facever.gallery.columns import metadata_of, with_quality
from facever.models.images import embed_given, embed_images
from facever.models.photos import Photos, one_face_each
from facever.models.protocol import Model, described
from facever.models.streams import Workers
from facever.pair_verification import PairVerification, verify_pair

if TYPE_CHECKING:
    from facever.evaluation.score_calibration import ScoreCalibration
    from facever.gallery.answers import Enrollment, SearchResult, Verification
    from facever.gallery.checks import Conflicts
    from facever.gallery.gallery import Gallery
    from facever.gallery.migration import Migration, Missing
    from facever.gallery.records import Duplicates
    from facever.models.extraction import Precision
    from facever.operating_point import OperatingPoint, ScoreRule


class EnrollmentRules(TypedDict, total=False):
    """What `Gallery.enroll` can be told beside the images."""

    metadata: "Mapping[str, Mapping[str, Any]] | None"
    duplicates: "Duplicates"
    near: float | None
    conflicts: "Conflicts"
    conflict_point: str | None


class Recognizer:
    """A model, and a gallery of its vectors, that answer questions about images.

    Images are paths, bytes of image files, Pillow images or RGB arrays uint8 [H, W, 3], in any
    mixture; a single one counts as a list of one. Nothing is written but the gallery. An image that
    cannot be read has the reason for its answer and stops no other.

    Args:
        model: What `facever.load_model` returns, or any `facever.Model`.
        gallery: Bound to this model (`Gallery.create(path, model)`); two images can be verified
            without one.
        photos: Whether the images are photos, in which faces are found and aligned, or crops; see
            `facever.models.photos.Photos`. By default what the model and the data say. A cropper
            of every face serves searches and `verify_person`: they answer for each face.

    Raises:
        ModelError: `model` is not one.

    Example:
        >>> model = facever.load_model("RUN")  # doctest: +SKIP
        >>> recognizer = Recognizer(model, Gallery.create("GALLERY", model))  # doctest: +SKIP
        >>> recognizer.enroll("FACES").images  # doctest: +SKIP
        120
        >>> recognizer.search("someone.jpg")[0].candidates[0].person  # doctest: +SKIP
        'ada'
    """

    def __init__(
        self, model: Model, gallery: "Gallery | None" = None, *, photos: Photos = None
    ) -> None:
        described(model)
        self.model, self._gallery, self.photos = model, gallery, photos

    @classmethod
    def load(
        cls,
        model: str | Path,
        gallery: "Gallery | None" = None,
        *,
        flip: bool | None = None,
        precision: "Precision | None" = None,
        device: str = "auto",
        photos: Photos = None,
    ) -> Self:
        """Load a gallery's model with the extraction options that the gallery is bound to.

        Args:
            model: A run folder, or a .safetensors file that facever wrote.
            gallery: As in `Recognizer`.
            flip: As in `facever.load_model`; where not given it is the gallery's.
            precision: As `flip`.
            device: As in `facever.load_model`.
            photos: As in `Recognizer`.

        Raises:
            ModelError: There is no usable model.
            ConfigError: An unknown device or precision.
        """
        from facever.models.loading import load_model

        options = {} if gallery is None else gallery.info().options
        flip = bool(options.get("flip", False)) if flip is None else flip
        precision = options.get("precision", "fp32") if precision is None else precision
        loaded = load_model(model, device=device, flip=flip, precision=precision)
        return cls(loaded, gallery, photos=photos)

    @property
    def gallery(self) -> "Gallery":
        """The gallery.

        Raises:
            GalleryError: There is none.
        """
        if self._gallery is None:
            raise GalleryError("this needs a gallery: Recognizer(model, gallery)")
        return self._gallery

    def enroll(
        self,
        images: Manifest | Given | Sequence[Given],
        people: str | Sequence[str] | None = None,
        *,
        metadata_columns: Sequence[str] = (),
        quality: str | None = None,
        data: str | Path | None = None,
        workers: Workers | None = None,
        **rules: Unpack[EnrollmentRules],
    ) -> "Enrollment":
        """Embed images and enroll them, all in one transaction: all of them, or on any error none.

        Unreadable images, and photos without a face, are left out and reported. Duplicates are
        recognised by the images' bytes. Images are loaded and forgotten some at a time; the vectors
        take 4 x D bytes an image.

        Args:
            images: A manifest, a folder that holds a folder per person, a table or a data set's
                name; or, with `people`, images, and folders of images of one person.
            people: Whom the images show: one id for all, or one each.
            metadata_columns: Columns of the manifest that are kept of the people.
            quality: Its column of the images' weights; by default `quality`, if there is one.
            data: Where named data sets are.
            workers: Processes that load images; chosen by their number when not given.
            rules: As in `Gallery.enroll`.

        Raises:
            GalleryError: As in `Gallery.enroll`, or another model.
            DataError: No such data, not one image could be read, or nobody says whom they show.
        """
        gallery = self._require_own()
        one_face_each(self.photos, "an enrolment")
        taken = _taken(images, people, data)
        if isinstance(taken, Manifest):
            if people is None:
                taken.require_identities(1)
            rows = with_quality(taken.frame, quality)
            person = people if isinstance(people, str) else None
            known = metadata_of(rows, metadata_columns, person, rules.get("metadata"))
            rules["metadata"] = known
            taken = taken.assign(quality=rows["quality"]) if quality is not None else taken
            faces = embed_images(self.model, taken, workers=workers, photos=self.photos)
            taken = [taken.locate(row) for row in range(len(taken))]
        elif metadata_columns or quality is not None:
            raise DataError("a list of images has no columns: omit metadata_columns and quality")
        else:
            faces = embed_given(self.model, taken, photos=self.photos)
        hashes = [
            hash_of(image) if acquired else None
            for image, acquired in zip(taken, faces.acquired, strict=True)
        ]
        return gallery.enroll(faces, people, hashes=hashes, **rules)

    def search(
        self,
        images: Given | Sequence[Given],
        k: int = 5,
        *,
        operating_point: "OperatingPoint | str | None" = None,
        rule: "ScoreRule | None" = None,
        where: Mapping[str, Any] | None = None,
        calibration: "ScoreCalibration | str | None" = None,
        decide: bool = False,
    ) -> "SearchResult":
        """Find the people who are nearest to each image (1:N), as `Gallery.search` does.

        Raises:
            DataError: Not one image could be read.
            GalleryError: As in `Gallery.search`, or another model.
        """
        gallery = self._require_own()
        return gallery.search(
            embed_given(self.model, _absolute(listed(images)), photos=self.photos),
            k,
            operating_point=operating_point,
            rule=rule,
            where=where,
            calibration=calibration,
            decide=decide,
        )

    def verify_person(
        self,
        images: Given | Sequence[Given],
        person: str,
        *,
        operating_point: "OperatingPoint | str | None" = None,
        rule: "ScoreRule" = "max",
        calibration: "ScoreCalibration | str | None" = None,
    ) -> "Verification":
        """Say whether each image shows a person of the gallery (1:1), as `Gallery.verify` does.

        Raises:
            DataError: Not one image could be read.
            GalleryError: As in `Gallery.verify`, or another model.
        """
        gallery = self._require_own()
        return gallery.verify(
            embed_given(self.model, _absolute(listed(images)), photos=self.photos),
            person,
            operating_point=operating_point,
            rule=rule,
            calibration=calibration,
        )

    def verify(
        self, image_a: Given, image_b: Given, operating_point: "OperatingPoint | None" = None
    ) -> PairVerification:
        """Say whether two images show the same person (1:1); no gallery is needed.

        Args:
            image_a: An image.
            image_b: Another one.
            operating_point: What decides, of kind 1:1-image; by default the model's own, that of
                the run that it was loaded from. The score is the operating point's; where there is
                none it is the model's, and nothing decides.

        Raises:
            ImageError: An image cannot be read.
            FailureToAcquire: A photo without a face: there is no score, and no decision.
            DataError: Something else than an image, or its embedding has no length.
            GalleryError: The operating point is of another model or not for two images.
        """
        return verify_pair(self.model, image_a, image_b, operating_point, self.photos)

    def migrate(
        self,
        *,
        missing: "Missing" = "refuse",
        root: str | Path | None = None,
        workers: Workers | None = None,
    ) -> "Migration":
        """Move the gallery to this model, from that of another; see `migrate_gallery`."""
        from facever.gallery.migration import migrate_gallery

        return migrate_gallery(
            self.gallery,
            self.model,
            missing=missing,
            root=root,
            workers=workers,
            photos=self.photos,
        )

    def _require_own(self) -> "Gallery":
        """Return the gallery; refuse one of another model, before images are embedded for it."""
        if self.model.fingerprint != self.gallery.fingerprint:
            raise GalleryError(
                f"the model is of fingerprint {self.model.fingerprint}, the gallery "
                f"{self.gallery.path} of {self.gallery.fingerprint}: use the gallery's model, or "
                "make another gallery"
            )
        return self.gallery


def _taken(
    images: Manifest | Given | Sequence[Given],
    people: str | Sequence[str] | None,
    data: str | Path | None,
) -> Manifest | list[Given]:
    """Return the manifest of a data set, or of the paths of one person; else the images."""
    if isinstance(images, Manifest):
        return images
    given = listed(images)
    paths = [one for one in given if isinstance(one, str | os.PathLike)]
    if len(paths) == len(given) and (people is None or isinstance(people, str)):
        from facever.data.sources import gather  # all readers, for those who need them

        return gather(paths, people, data)
    if people is None:
        raise DataError("the people in these images are not named: give people=")
    return _absolute(given)


def _absolute(images: Sequence[Given]) -> list[Given]:
    """Return the images with absolute paths, of "a.npy#7" too."""
    return [
        os.path.abspath(one) if isinstance(one, str | os.PathLike) else one  # noqa: PTH100
        for one in images
    ]
