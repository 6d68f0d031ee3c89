"""A stream of embedded blocks: what any model yields for many images, without pandas or torch."""

from collections.abc import Callable, Generator, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from facever.data.acquisition import Acquire, OnError
from facever.data.given import Given, read_images
from facever.errors import ModelError
from facever.models.photos import Photos, face_step
from facever.models.protocol import Model

if TYPE_CHECKING:
    from facever.data.manifest import Manifest

Workers = int | Literal["auto"]

_TOGETHER = 32  # images, decoded and whole, that a model without `blocks` gets at once


class EmbeddedBlock(NamedTuple):
    """Neighbouring images that were embedded together.

    Args:
        first: The position of the first.
        embeddings: float32 [B, D], not normalised; zero where an image failed.
        errors: [B], why an image could not be read, or a photo has no face, or None.
        columns: [B], what was found in each photo; empty for crops.
    """

    first: int
    embeddings: NDArray[np.float32]
    errors: Sequence[str | None]
    columns: Sequence[Mapping[str, Any]] = ()


class BlockSource(Protocol):
    """What embeds images some at a time; see `Extractor.blocks`.

    Photos are given with `faces`, which makes crops of them; one that cannot take it is given
    crops, by `embed`.
    """

    def blocks(
        self,
        images: "Manifest | Sequence[Given]",
        *,
        workers: Workers,
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """Embed images and yield them in their order."""


def features_of(model: Model, images: Sequence[Given], photos: Photos) -> NDArray[np.float32]:
    """Embed a few images by a model with `blocks`; the first that cannot be ends it.

    Returns:
        float32 [N, D], not normalised; of a cropper of every face a row for each face.
    """
    faces: Acquire | None = (step := face_step(model, photos))
    if step is not None and step.every_face:
        from facever.data.every_face import every_face_given

        images, _, faces = every_face_given(images, step, "raise")
    stream = stream_of(model, images, faces, workers=0, on_error="raise")
    rows = [block.embeddings for block in stream]
    return np.concatenate([np.empty((0, model.dimension), np.float32), *rows])


def stream_of(
    model: Model,
    images: "Manifest | Sequence[Given]",
    faces: Acquire | None,
    *,
    workers: Workers,
    on_error: OnError = "skip",
) -> Generator[EmbeddedBlock, None, None]:
    """Embed images by a model and yield them in their order, some at a time.

    Args:
        model: Any model; one without `blocks` that can take these images gets them by `embed`.
        images: A manifest, or images given in any way.
        faces: How photos become crops; None where the images are crops.
        workers: As in `embed_images`.
        on_error: "skip" or "raise".
    """
    blocks = getattr(model, "blocks", None)
    if blocks is None:
        source: BlockSource = Loaded(model)
    elif faces is None:  # a model of one's own need not know of photos
        return cast("BlockSource", model).blocks(images, workers=workers, on_error=on_error)
    else:
        able = "faces" in signature(blocks).parameters
        source = cast("BlockSource", model) if able else Loaded(model)
    return source.blocks(images, workers=workers, on_error=on_error, faces=faces)


def located_by(images: "Manifest | Sequence[Given]") -> Callable[[int], Given]:
    """Return what gives the image of a row: a manifest's file, or the image that was given."""
    given: Any = images
    locate: Callable[[int], Given] = getattr(given, "locate", None) or given.__getitem__
    return locate


class Loaded:
    """Loads images, in this process, for a model that only has `embed`.

    Args:
        model: Any model.
        together: Images, decoded and whole, that it gets at once.
    """

    def __init__(self, model: Model, together: int = _TOGETHER) -> None:
        self._model, self._kind, self._together = model, type(model).__name__, together

    def blocks(
        self,
        images: "Manifest | Sequence[Given]",
        runs: Sequence[range] | None = None,
        *,
        workers: Workers,
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """See `LoadedModel.blocks`."""
        if workers not in (0, "auto"):
            raise ModelError(f"{self._kind} loads images in one process: omit workers")
        locate = located_by(images)
        step = self._together
        whole = [range(len(images))] if runs is None else runs
        for some in (run[k : k + step] for run in whole for k in range(0, len(run), step)):
            first = some.start
            located = [locate(i) for i in some]
            pixels, errors, found = read_images(located, None, on_error, faces, first)
            block = np.zeros((len(some), self._model.dimension), np.float32)
            if pixels:
                block[[error is None for error in errors]] = self._embed(pixels)
            yield EmbeddedBlock(first, block, errors, in_rows(found, errors))

    def _embed(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        rows = np.asarray(self._model.embed(pixels), np.float32)
        if rows.shape != (wanted := (len(pixels), self._model.dimension)):
            raise ModelError(
                f"{self._kind}.embed returned shape {list(rows.shape)} for {len(pixels)} images, "
                f"not {list(wanted)}"
            )
        return rows


def in_rows(
    found: Sequence[Mapping[str, Any]], errors: Sequence[str | None]
) -> Sequence[Mapping[str, Any]]:
    """Return what was found in the photos that did not fail as a list for all; empty for crops."""
    if not any(found):
        return ()
    each = iter(found)
    return [next(each) if error is None else {} for error in errors]
