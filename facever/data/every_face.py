"""Photos of which every face is used: one row per face, detected with all cores.

For a manifest, only rows and landmarks are kept: a second pass loads the photos and crops them by
these landmarks. For images given one by one, the crops are kept.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facever.core.console import progress, say
from facever.core.threads import in_order
from facever.data.acquisition import Acquire, Acquired, FaceStep, FailureToAcquire, OnError, named
from facever.data.decode import ImageError
from facever.data.given import Given, name_of, pixels_of
from facever.data.machine import usable_cpus
from facever.data.manifest import Manifest
from facever.errors import DataError

FACE = "face"
"""The column that numbers the faces of a photo, from 1 on."""


class _Found(NamedTuple):
    """The faces of a photo, or the reason why there are none."""

    faces: Sequence[Acquired]
    error: ImageError | FailureToAcquire | None = None


def every_face(
    manifest: Manifest, step: FaceStep, on_error: OnError = "skip"
) -> tuple[Manifest, FaceStep]:
    """Detect the faces in all photos of a manifest.

    Args:
        manifest: The photos.
        step: The cropping step; its cropper returns every face.
        on_error: "skip" keeps the row of a photo without a face, or of an unreadable one, with the
            reason; "raise" raises its error.

    Returns:
        A manifest with one row per face, with the columns of its photo and of the face; and the
        step that crops these rows. Faces of a photo with several faces have no identity.

    Raises:
        ImageError: With "raise", a photo that cannot be read.
        FailureToAcquire: With "raise", a photo without a face.
    """
    rows: list[int] = []
    columns: list[dict[str, object]] = []
    failures: list[str | None] = []
    with progress("finding faces", len(manifest), "photos") as shown:
        for row, found in enumerate(_in_order(len(manifest), manifest.locate, step, on_error)):
            for number, face in enumerate(found.faces, 1):
                rows.append(row)
                columns.append({**face.columns, FACE: str(number)})
                failures.append(None)
            if found.error is not None:
                rows.append(row)
                columns.append({})
                failures.append(_reason(found.error))
            shown.advance()
    names = dict.fromkeys(name for said in columns for name in said)
    made = manifest.select(np.array(rows)).assign(
        **{name: [said.get(name) for said in columns] for name in names}
    )
    counts = np.bincount(rows, minlength=len(manifest))
    shared = counts[rows] > 1
    if made.frame["identity"][shared].notna().any():
        say(
            f"{int((counts > 1).sum()):,} photos have several faces, and the data does not "
            f"state which one has the identity: their {int(shared.sum()):,} rows have none"
        )
        made = made.assign(identity=made.frame["identity"].mask(shared))
    landmarks = [said.get("landmarks") for said in columns]
    return made, FaceStep(step.cropper, step.size, landmarks, failures)


def every_face_given(
    images: Sequence[Given], step: FaceStep, on_error: OnError = "skip"
) -> tuple[list[Given], list[int], Acquire]:
    """Crop every face of images given in any form.

    Args:
        images: The photos.
        step: As for `every_face`, like `on_error`.
        on_error: See `every_face`; a photo without a face has one row, whose step fails.

    Returns:
        A crop for each row, the position of each row's image, and the step of these rows with their
        columns.

    Raises:
        ImageError: As `every_face`.
        FailureToAcquire: As `every_face`.
    """
    crops: list[Given] = []
    owners: list[int] = []
    outcomes: list[Acquired | str] = []
    found = _in_order(len(images), images.__getitem__, step, on_error)
    for image, (faces, error) in enumerate(found):
        for number, face in enumerate(faces, 1):
            crops.append(face.pixels)
            owners.append(image)
            outcomes.append(Acquired(face.pixels, {**face.columns, FACE: str(number)}))
        if error is not None:
            crops.append(np.zeros((1, 1, 3), np.uint8))
            owners.append(image)
            outcomes.append(_reason(error))

    def known(_: NDArray[np.uint8], row: int) -> Acquired:
        outcome = outcomes[row]
        if isinstance(outcome, str):
            raise FailureToAcquire(outcome)
        return outcome

    return crops, owners, known


def _in_order(
    count: int, image: Callable[[int], Given], step: FaceStep, on_error: OnError
) -> Iterator[_Found]:
    """Yield the faces of each photo; threads work a few photos ahead."""

    def found(number: int) -> _Found:
        try:
            return _Found(step.cropper.crops(pixels_of(image(number), reduce=True), step.size))
        except (ImageError, FailureToAcquire) as error:
            return _Found([], error)

    for number, done in enumerate(in_order(found, range(count), usable_cpus())):
        if done.error is not None and on_error == "raise":
            raise named(done.error, name_of(image(number), number))
        yield done


def _reason(error: DataError) -> str:
    return error.reason if isinstance(error, FailureToAcquire) else str(error)
