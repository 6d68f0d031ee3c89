"""The card of an ONNX model: the data that facever needs to use it, as text in the file."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from facever.data.preprocessing import Preprocessing
from facever.errors import ConfigError, ModelError, unknown
from facever.models.onnx.export_record import ExportRecord
from facever.models.onnx.file import OnnxFile

KEY = "facever.card"
FORMAT = 2
"""Of cards with an `export`; all others are written in format 1, which earlier versions read."""
CHOICES = {
    "color": ("rgb", "bgr", "grey"),
    "layout": ("NCHW", "NHWC"),
    "alignment": ("arcface-112", "none"),
    "metric": ("cosine", "euclidean", "dot"),
    "interpolation": ("area", "bilinear", "bicubic"),
    "precision": ("fp32", "fp16", "int8"),
}
_MOST_COMPONENTS = 65_536
_LATER = ("crop", "precision", "flip", "export", "quantization")

LIKE: dict[str, dict[str, Any]] = {
    "insightface": {
        "size": (112, 112),
        "color": "rgb",
        "mean": (127.5, 127.5, 127.5),
        "std": (127.5, 127.5, 127.5),
        "alignment": "arcface-112",
    }
}
"""Input of well-known families, for `--like`: insightface's recognition models (ArcFace)."""


@dataclass(frozen=True)
class Card:
    """How images become a model's input, and what its vectors are.

    Attributes:
        size: (height, width) of its input in pixels.
        color: "rgb", "bgr", or "grey" (the luma; in three channels where it takes three).
        mean: Subtracted from each channel, of values 0 to 255, in the order of `color`.
        std: What the difference is divided by.
        layout: "NCHW" or "NHWC".
        alignment: "arcface-112" or "none".
        input: Name of its input.
        output: Name of the output that is the embedding.
        metric: "cosine", "euclidean" or "dot".
        interpolation: "area", "bilinear" or "bicubic"; see `Preprocessing`.
        dimension: Components of the embedding.
        name: What it is called.
        licence: As its authors state it; empty where that is not known.
        trained_on: What it was trained on; empty where that is not known.
        source_sha256: Of the file that it was made from; it names the weights.
        body_sha256: Of the file that holds this card, without its metadata.
        crop: The central share of each side of an image that is kept before resizing.
        flip: Whether the file itself averages each image with its mirror image.
        export: What `facever export` knows of the model: see `ExportRecord`. None in files of
            `facever models add`.
        precision: Number format of its layers: "fp32", "fp16", or "int8" for all but those that
            `quantization` lists.
        quantization: Of an int8 model what it was made from and what it costs, see
            `facever.models.onnx.quantizing.Quantized.to_dict`; empty otherwise.
    """

    size: tuple[int, int] = (112, 112)
    color: str = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    layout: str = "NCHW"
    alignment: str = "none"
    input: str = ""
    output: str = ""
    metric: str = "cosine"
    interpolation: str = "area"
    dimension: int = 0
    name: str = ""
    licence: str = ""
    trained_on: str = ""
    source_sha256: str = ""
    body_sha256: str = ""
    crop: float = 1.0
    flip: bool = False
    export: ExportRecord | None = None
    precision: str = "fp32"
    quantization: dict[str, Any] = field(default_factory=dict)

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes pixels; its `mean` and `std` are of values 0 to 1.

        Raises:
            ConfigError: A value that it cannot take.
        """
        from facever.config import parse

        values = {
            "size": list(self.size),
            "color": self.color,
            "mean": [value / 255 for value in self.mean],
            "std": [value / 255 for value in self.std],
            "interpolation": self.interpolation,
            "crop": self.crop,
        }
        return parse(Preprocessing, values, where="the model's input")

    def checked(self) -> Self:
        """Return this card if its values are valid.

        Raises:
            ConfigError: An invalid value; the key is named.
        """
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(unknown(name, str(getattr(self, name)), allowed))
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ConfigError(f"mean {self.mean} and std {self.std} must be numbers, std above 0")
        if not 0 <= self.dimension <= _MOST_COMPONENTS:
            raise ConfigError(f"dimension {self.dimension}: it must be at most {_MOST_COMPONENTS}")
        if not isinstance(self.flip, bool):
            raise ConfigError(f"flip is {self.flip!r} (allowed: true, false)")
        assert self.preprocessing
        return self

    def fingerprint(self, *, flip: bool, precision: str, engine: str = "onnxruntime") -> str:
        """Return the fingerprint of the embedding space of this model with these options.

        Model, preprocessing, alignment, output, engine, precision and flip enter; neither the
        detector nor what images were given does. Of an exported file the bytes of its network
        enter, which are compared with the file when it is opened: another network cannot have the
        same fingerprint.
        """
        said = asdict(self)
        space = {
            name: said[name]
            for name in (
                "source_sha256", "size", "color", "mean", "std", "layout", "interpolation",
                "alignment", "output",
            )
        }  # fmt: skip
        if self.export is not None:
            space |= {"body_sha256": self.body_sha256, "crop": self.crop}
        options = {"engine": engine, "flip": flip or self.flip, "precision": precision}
        written = json.dumps({**space, **options}, sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the card as the file holds it."""
        said, usual = asdict(self), asdict(Card())
        for name in _LATER:
            if said[name] == usual[name]:
                del said[name]
        version = 1 if self.export is None else FORMAT
        return json.dumps({"format": version, **said}, sort_keys=True)

    @classmethod
    def from_json(cls, written: str, where: str) -> Self:
        """Read a card.

        Args:
            written: What `to_json` gave.
            where: The file, for messages.

        Raises:
            ModelError: It is damaged, or of a newer format.
        """
        try:
            values = json.loads(written)
            if int(values.pop("format")) > FORMAT:
                raise ModelError(
                    f"{where} has a card of a newer format than this facever reads ({FORMAT}): "
                    "update facever (pip install -U facever)"
                )
            known = {one.name for one in fields(cls)}
            made = cls(**{name: value for name, value in values.items() if name in known})
            if made.export is not None:
                made = replace(made, export=ExportRecord.from_values(made.export))
            return made.with_values({}).checked()
        except (ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
            raise ModelError(
                f"{where}: its card ({KEY}) is damaged: add the model again (facever models add)"
            ) from error

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the card with these values; numbers stand for sides and for three channels.

        Raises:
            TypeError, ValueError: A value of another kind.
        """
        made = replace(self, **values)
        height, width = _as_many(made.size, 2)
        return replace(
            made,
            size=(int(height), int(width)),
            mean=_channels(made.mean),
            std=_channels(made.std),
        )


def _channels(value: Any) -> tuple[float, float, float]:
    first, second, third = _as_many(value, 3)
    return first, second, third


def _as_many(value: Any, count: int) -> list[float]:
    found = [float(value)] * count if isinstance(value, int | float) else list(map(float, value))
    if len(found) == 1:
        found *= count
    if len(found) != count:
        raise ValueError(f"{value} must be one number or {count}")
    return found


def card_of(file: OnnxFile) -> Card | None:
    """Return the card that a file holds, None where it has none.

    Raises:
        ModelError: It is damaged, or the file was changed since the card was written.
    """
    if KEY not in file.metadata:
        return None
    card = Card.from_json(file.metadata[KEY], str(file.path))
    if card.body_sha256 != file.body_sha256:
        raise ModelError(
            f"{file.path} is damaged, or was changed after its card was written: add the model "
            "again (facever models add), or export it again (facever export)"
        )
    return card
