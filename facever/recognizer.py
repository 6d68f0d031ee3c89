"""The Recognizer: a model and a gallery. It takes images and returns answers, all in memory."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack

from facever.data.given import Given, hash_of, listed
from facever.data.manifest import Manifest
from facever.errors import DataError, GalleryError
from facever.gallery.columns import metadata_of, with_quality
from facever.models.images import embed_given, embed_images, embed_probes
from facever.models.photos import Photos, one_face_each
from facever.models.protocol import Model, described
from facever.models.streams import Workers
from facever.pair_verification import PairVerification, verify_pair

if TYPE_CHECKING:
    from facever.evaluation.score_calibration import ScoreCalibration
    from facever.gallery.answers import Enrollment, SearchResult, Verification
    from facever.gallery.checks import Conflicts
    from facever.gallery.gallery import Gallery
    from facever.gallery.inputs import Cameras, Times
    from facever.gallery.migration import Migration, Missing
    from facever.gallery.records import Duplicates
    from facever.models.extraction import Precision
    from facever.models.loading import Engine
    from facever.operating_point import OperatingPoint, ScoreRule


class EnrollmentRules(TypedDict, total=False):
    """Options of `Gallery.enroll` in addition to the images."""

    cameras: "Cameras"
    taken: "Times"
    metadata: "Mapping[str, Mapping[str, Any]] | None"
    duplicates: "Duplicates"
    near: float | None
    conflicts: "Conflicts"
    conflict_point: str | None


class Recognizer:
    """A model with a gallery: enrols, identifies and verifies images.

    Images are paths, bytes of image files, Pillow images or RGB arrays uint8 [H, W, 3], in any
    mixture; a single image is a list of one. Only the gallery is written. For an unreadable image
    the answer is the reason; other images are not affected.

    Args:
        model: A model from `facever.load_model`, or any `facever.Model`.
        gallery: A gallery bound to this model (`Gallery.create(path, model)`); `verify` works
            without one.
        photos: Whether the images are photos, in which faces are detected and aligned, or crops;
            see `facever.models.photos.Photos`. By default the model and the data decide. With a
            cropper of every face, `search` and `verify_person` answer for each face.

    Raises:
        ModelError: `model` is not a model.

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
        engine: "Engine | None" = None,
    ) -> Self:
        """Load a gallery's model with the extraction options that the gallery is bound to.

        Args:
            model: A run folder, or a .safetensors file written by facever.
            gallery: As in `Recognizer`.
            flip: As in `facever.load_model`; by default as in the gallery.
            precision: Like `flip`, if it is a choice ("bf16"); else that of the model.
            device: As in `facever.load_model`.
            photos: As in `Recognizer`.
            engine: As in `facever.load_model`; by default as in the gallery, if the model has it.

        Raises:
            ModelError: There is no usable model.
            ConfigError: Device, precision or engine is unknown.
        """
        from facever.models.loading import has_onnx, load_model

        options = {} if gallery is None else gallery.info().options
        flip = bool(options.get("flip", False)) if flip is None else flip
        if precision is None and options.get("precision") == "bf16":
            precision = "bf16"
        if engine is None:
            engine = options.get("engine", "auto") if has_onnx(model) else "auto"
        loaded = load_model(model, device=device, flip=flip, precision=precision, engine=engine)
        return cls(loaded, gallery, photos=photos)

    @property
    def gallery(self) -> "Gallery":
        """The gallery.

        Raises:
            GalleryError: There is no gallery.
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
        """Embed images and enroll them in one transaction. On an error, nothing is enrolled.

        Unreadable images and photos without a face are skipped and reported. Duplicates are
        recognised by the images' bytes. Images are loaded in batches; the vectors need 4 x D bytes
        per image, and the crops of a gallery that keeps them about 25 kB (112 x 112 pixels).

        Args:
            images: A manifest, a folder with a folder per person, a table or a data set's name; or,
                with `people`, images and folders of images of one person.
            people: Id of the person in each image, or one id for all.
            metadata_columns: Columns of the manifest to store as metadata of the people.
            quality: Column of the manifest with the weights of the images; by default `quality`, if
                present.
            data: Folder of named data sets.
            workers: Number of processes that load images; by default chosen by the number of
                images.
            rules: As in `Gallery.enroll`.

        Raises:
            GalleryError: As in `Gallery.enroll`, or the gallery is bound to another model.
            DataError: There is no such data, no image could be read, or an image has no identity.
        """
        gallery = self.require_own()
        one_face_each(self.photos, "an enrolment")
        taken, keep = _taken(images, people, data), gallery.keeps_crops
        if isinstance(taken, Manifest):
            if people is None:
                taken.require_identities(1)
            rows = with_quality(taken.frame, quality)
            person = people if isinstance(people, str) else None
            known = metadata_of(rows, metadata_columns, person, rules.get("metadata"))
            rules["metadata"] = known
            taken = taken.assign(quality=rows["quality"]) if quality is not None else taken
            faces = embed_images(
                self.model, taken, workers=workers, photos=self.photos, keep_crops=keep
            )
            taken = [taken.locate(row) for row in range(len(taken))]
        elif metadata_columns or quality is not None:
            raise DataError("a list of images has no columns: omit metadata_columns and quality")
        else:
            faces = embed_given(self.model, taken, photos=self.photos, keep_crops=keep)
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
        where_images: Mapping[str, Any] | None = None,
        calibration: "ScoreCalibration | str | None" = None,
        decide: bool = False,
    ) -> "SearchResult":
        """Find the most similar people for each image (1:N); see `Gallery.search`.

        Raises:
            DataError: No image could be read.
            GalleryError: As in `Gallery.search`, or another model.
        """
        gallery = self.require_own()
        return gallery.search(
            embed_probes(self.model, _absolute(listed(images)), photos=self.photos),
            k,
            operating_point=operating_point,
            rule=rule,
            where=where,
            where_images=where_images,
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
        """Decide whether each image shows a person of the gallery (1:1); see `Gallery.verify`.

        Raises:
            DataError: No image could be read.
            GalleryError: As in `Gallery.verify`, or another model.
        """
        gallery = self.require_own()
        return gallery.verify(
            embed_probes(self.model, _absolute(listed(images)), photos=self.photos),
            person,
            operating_point=operating_point,
            rule=rule,
            calibration=calibration,
        )

    def verify(
        self, image_a: Given, image_b: Given, operating_point: "OperatingPoint | None" = None
    ) -> PairVerification:
        """Decide whether two images show the same person (1:1); this needs no gallery.

        Args:
            image_a: An image.
            image_b: Another one.
            operating_point: Operating point of kind 1:1-image; by default that of the model or its
                run. It sets the similarity; without one, the similarity is the model's metric and
                there is no decision.

        Raises:
            ImageError: An image cannot be read.
            FailureToAcquire: A photo has no face: there is no score and no decision.
            DataError: Something is not an image, or its embedding is zero.
            GalleryError: The operating point is for another model or not for two images.
        """
        return verify_pair(self.model, image_a, image_b, operating_point, self.photos)

    def migrate(
        self,
        *,
        missing: "Missing" = "refuse",
        root: str | Path | None = None,
        workers: Workers | None = None,
    ) -> "Migration":
        """Migrate the gallery to this model; see `migrate_gallery`."""
        from facever.gallery.migration import migrate_gallery

        return migrate_gallery(
            self.gallery,
            self.model,
            missing=missing,
            root=root,
            workers=workers,
            photos=self.photos,
        )

    def require_own(self) -> "Gallery":
        """Return the gallery if it takes vectors of this model.

        Raises:
            GalleryError: It is bound to another model, or there is none.
        """
        if not self.gallery.accepts(self.model.fingerprint):
            if getattr(self.model, "exported_from", None) == self.gallery.fingerprint:
                raise GalleryError(
                    f"the model is an export of the gallery's, and {self.gallery.path} has not "
                    f"accepted its fingerprint {self.model.fingerprint}: facever gallery "
                    f"accept-equivalent {self.gallery.path} MODEL.onnx"
                )
            raise GalleryError(
                f"the model has fingerprint {self.model.fingerprint}, but the gallery "
                f"{self.gallery.path} has {self.gallery.fingerprint}: use the gallery's model, "
                "or create another gallery"
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
        from facever.data.sources import gather  # all readers, imported only if needed

        return gather(paths, people, data)
    if people is None:
        raise DataError("the people in these images are unknown: give people=")
    return _absolute(given)


def _absolute(images: Sequence[Given]) -> list[Given]:
    """Return the images with absolute paths, also for "a.npy#7"."""
    return [
        os.path.abspath(one) if isinstance(one, str | os.PathLike) else one  # noqa: PTH100
        for one in images
    ]
