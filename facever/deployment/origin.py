"""What an export begins with: a model, its network as an ONNX model, and its card."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from facever.core.files import atomic_path
from facever.deployment.check_images import CheckImages
from facever.deployment.graph import DeployedNetwork, Layout, Place
from facever.deployment.program import INPUT, OPSET, OUTPUT, half_precision, onnx_program
from facever.embeddings.coded_people import people_of
from facever.errors import ConfigError, ModelError
from facever.models.extraction import LoadedModel
from facever.models.extractor import Extractor
from facever.models.loading import is_onnx, load_model
from facever.models.onnx.card import KEY, Card, card_of
from facever.models.onnx.engine import OnnxEngine
from facever.models.onnx.export_record import ExportRecord
from facever.models.onnx.file import OnnxFile, parse_onnx, read_onnx, with_metadata
from facever.models.onnx.model import OnnxModel

Precision = Literal["fp32", "fp16", "int8"]
People = Literal["codes", "counts", "none"]

_SALT = 16  # characters of the model's hash


@dataclass(frozen=True)
class Origin:
    """A model, and what its exported file holds.

    Attributes:
        model: The model that is exported.
        file: The exported network.
        card: Its card, with the hash of that network.
        record: The export's part of the card.
    """

    model: LoadedModel
    file: OnnxFile
    card: Card
    record: ExportRecord

    def exported(self, engine: OnnxEngine = "onnxruntime") -> OnnxModel:
        """Return the exported model in an engine, as it is loaded from the file."""
        return OnnxModel(self.file, self.card, engine=engine)

    def write(self, path: Path, record: ExportRecord) -> None:
        """Write the file with a card of this record, atomically."""
        told = {**self.file.metadata, KEY: replace(self.card, export=record).to_json()}
        with atomic_path(path) as temporary:
            temporary.write_bytes(with_metadata(self.file.content, told))


def origin_of(
    source: str | Path,
    out: Path,
    *,
    precision: Precision,
    preprocessing: Place | None,
    layout: Layout | None,
    flip: bool,
    people: People,
    licence: str,
) -> Origin:
    """Load a model and make its network; int8 begins with fp32.

    Args:
        source: A run folder, a .safetensors file, or, for int8, an ONNX model.
        out: The exported file, for messages.
        precision, preprocessing, layout, flip, people, licence: As for `export_model`.

    Raises:
        ModelError: There is no usable model, or it cannot be exported.
        ConfigError: An ONNX model with an option that belongs to trained models.
    """
    if is_onnx(source):
        if precision != "int8":
            raise ConfigError(f"{source} is an ONNX model already: only --precision int8 is left")
        if flip or preprocessing is not None or layout is not None:
            raise ConfigError(f"{source} is an ONNX model: omit --flip, --preprocessing, --layout")
        return _of_onnx(source, licence)
    model = load_model(source, device="cpu", flip=flip)
    if not isinstance(model, Extractor):
        raise ModelError(
            f"{source} is not a model that facever trained: give a run folder or a .safetensors "
            "file"
        )
    place: Place = preprocessing or "inside"
    axes: Layout = layout or ("NHWC" if place == "inside" else "NCHW")
    network = DeployedNetwork(model.embedder, place, axes, flip).eval()
    content = onnx_program(network, model.embedder.config.backbone)
    if precision == "fp16":
        content = half_precision(content)
    own_hash, config = model.card.model_hash, model.embedder.config.architecture
    known = model.trained_on if people != "none" else None
    record = _record(
        model,
        own_hash,
        preprocessing=place,
        opset=OPSET,
        config=config,
        people=people_of(known, own_hash[:_SALT], codes=people == "codes"),
    )
    card = replace(
        _card(model, network),
        name=str(config.get("backbone", model.embedder.config.backbone)),
        licence=licence,
        trained_on=_in_words(record.people),
        precision="fp32" if precision == "int8" else precision,
        export=record,
    )
    file = parse_onnx(out, content)
    return Origin(model, file, replace(card, body_sha256=file.body_sha256), record)


def quantised(origin: Origin, images: CheckImages) -> Origin:
    """Return the int8 model of an fp32 one.

    Args:
        origin: The fp32 model.
        images: For the calibration.

    Raises:
        ModelError: It cannot be quantised.
        DataError: Not by these images: too few, or too small.
    """
    from facever.models.onnx.quantizing import quantize

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        origin.write(source, origin.record)
        quantize(source, out, images.pixels, dataset=images.said)
        made = read_onnx(out)
    card = card_of(made)
    assert card is not None
    card = replace(card, precision="int8")
    return replace(origin, file=replace(made, path=origin.file.path), card=card)


def _of_onnx(source: str | Path, licence: str) -> Origin:
    model = load_model(source)
    if not isinstance(model, OnnxModel):
        raise ModelError(f"{source} is not an ONNX model")
    file, card, known = read_onnx(model.path), model.card, model.card.export
    record = _record(
        model,
        card.source_sha256 if known is None else known.model_hash,
        preprocessing="outside" if known is None else known.preprocessing,
        opset=file.opset,
        config={} if known is None else known.config,
        people={} if known is None else known.people,
    )
    given = replace(card, export=record, licence=licence or card.licence)
    return Origin(model, file, given, record)


def _record(model: LoadedModel, model_hash: str, **known: Any) -> ExportRecord:
    return ExportRecord(
        model_hash=model_hash,
        fingerprint=model.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=model.versions,
        **known,
    )


def _card(model: Extractor, network: DeployedNetwork) -> Card:
    """Return how images become the input of a network."""
    said, inside = model.embedder.preprocessing, network.inside
    made = Card(
        color="rgb" if inside else said.color,
        layout=network.layout,
        alignment=model.alignment,
        input=INPUT,
        output=OUTPUT,
        metric=model.metric,
        interpolation=said.interpolation,
        dimension=model.dimension,
        source_sha256=model.card.model_hash,
        crop=said.crop,
        flip=network.flip,
    )
    mean, std = ([255 * value for value in values] for values in (said.mean, said.std))
    return made.with_values(
        {"size": said.size, "mean": 0 if inside else mean, "std": 1 if inside else std}
    )


def _in_words(people: Mapping[str, Any]) -> str:
    """Return the data sets of a training in words."""
    datasets: Mapping[str, Mapping[str, int]] = people.get("datasets", {})
    return ", ".join(f"{name} ({sum(uses.values()):,} people)" for name, uses in datasets.items())
