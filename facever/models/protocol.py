"""The Model: what turns images into vectors, and says what these depend on."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facever.embeddings.meta import EmbeddingMeta
from facever.errors import ModelError

if TYPE_CHECKING:
    from facever.data.given import Given

_NEEDED = ("fingerprint", "dimension", "embed")


class Model(Protocol):
    """What galleries, `Recognizer` and `embed_images` need of a model: any class can be one.

    `facever.load_model` returns one. A class of one's own needs the three members below. These it
    can have besides, and they are used where they are there:

    - `metric`: "cosine", "euclidean" or "dot", what the model was trained to be compared by.
      Without it "cosine".
    - `preprocessing`, `options`: mappings of plain values: how images become pixels, and the
      options of the extraction that change vectors, such as {"flip": True}. Galleries and embedding
      sets keep them. Without them empty.
    - `versions`: a mapping of the packages that make the vectors to their versions.
    - `trained_on`: a table with the columns `identity` and `dataset` of whom the model was trained
      on. Without it None: not known.
    - `operating_point`: an OperatingPoint (1:1) that decides in `Recognizer.verify`.
    - `blocks`: loads and embeds whole data sets, as `Extractor.blocks` does.

    Vectors of different fingerprints are never compared with each other.

    Example:
        >>> class MeanColour:
        ...     fingerprint, dimension = "mean colour 1", 3
        ...
        ...     def embed(self, images):
        ...         return np.array([image.mean(axis=(0, 1)) + 1 for image in images])
        >>> described(MeanColour()).dimension
        3
    """

    @property
    def fingerprint(self) -> str:
        """What names all that the vectors depend on: weights, preprocessing, options."""

    @property
    def dimension(self) -> int:
        """Components of a vector, D."""

    def embed(self, images: "Sequence[Given]", /) -> NDArray[np.float32]:
        """Embed some images.

        Args:
            images: facever gives pixels: arrays uint8 [H, W, 3], RGB, upright, of any sizes.

        Returns:
            A row for each image, [N, D], finite, not zero; facever divides them by their lengths.
        """


def described(model: Model) -> EmbeddingMeta:
    """Return what a model says of its vectors, without a data set.

    Raises:
        ModelError: It is no Model: a member is missing or cannot be.
    """
    if isinstance(model, str | os.PathLike):
        raise ModelError(f"{str(model)!r} is a path, not a model: give facever.load_model(PATH)")
    kind = type(model).__name__
    if missing := [name for name in _NEEDED if not hasattr(model, name)]:
        raise ModelError(
            f"{kind} is not a model: it has no {', '.join(missing)} (facever.Model says what is "
            "needed)"
        )
    fingerprint, dimension = model.fingerprint, model.dimension
    if not isinstance(fingerprint, str) or not fingerprint:
        raise ModelError(f"{kind}.fingerprint must be a string, not {fingerprint!r}")
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
        raise ModelError(f"{kind}.dimension must be a whole number from 1 on, not {dimension!r}")
    said: dict[str, Any] = {
        name: dict(_mapping(model, name))
        for name in ("preprocessing", "options", "versions")
        if hasattr(model, name)
    }
    return EmbeddingMeta(fingerprint, dimension, getattr(model, "metric", "cosine"), **said)


def _mapping(model: Model, name: str) -> Mapping[str, Any]:
    value = getattr(model, name)
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{type(model).__name__}.{name} must be a mapping of JSON values, not {value!r}"
        ) from error
    return value  # type: ignore[no-any-return]
