"""Turn an ONNX file of another tool into a facever model: describe, repair, try and write it.

Only here the package `onnx` is needed. What is written has one input, one output, all numbers in
one file, and the card.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.catalogue import Entry, entries, entry, is_name
from facever.core.files import atomic_path
from facever.core.seeding import stream
from facever.errors import ConfigError, ModelError, unknown
from facever.models.onnx.card import KEY, LIKE, Card, card_of
from facever.models.onnx.engine import open_engine
from facever.models.onnx.file import (
    TYPES,
    OnnxFile,
    Port,
    names,
    parse_onnx,
    read_onnx,
    with_metadata,
)
from facever.models.onnx.model import OnnxModel, fitting
from facever.models.onnx.package import onnx_package

_PROBES = 5  # images
_SECONDS = 0.2  # that the speed is measured for, at least
_EQUAL = 1e-3  # largest difference of one image's components, of the longest: half precision too
_LARGEST_SIDE = 4096  # pixels, of `Preprocessing`
_OLDEST_IR = 4  # from here on initializers need not be inputs


@dataclass(frozen=True)
class Added:
    """A model that was written.

    Attributes:
        path: Where it is.
        card: What its file says of it.
        dimension: Components of its vectors.
        fingerprint: Of its vectors, without flip.
        images_per_second: With one thread, of preprocessed images.
    """

    path: Path
    card: Card
    dimension: int
    fingerprint: str
    images_per_second: float


def add_model(
    source: str | Path,
    out: str | Path,
    *,
    like: str | None = None,
    overwrite: bool = False,
    **values: Any,
) -> Added:
    """Write an ONNX file with the card that facever needs, after a trial on a few images.

    Args:
        source: The file.
        out: Where to, conventionally NAME.onnx.
        like: Take the input of "insightface", or of a public model such as "sface"; `values` go
            before it.
        overwrite: Whether a file that stands at `out` is replaced.
        values: Fields of `Card`: size, color, mean, std, layout, alignment, input, output, metric,
            interpolation, name, licence, trained_on. What is not given is as `like` has it, as the
            file says it, or the default.

    Raises:
        ModelError: The file cannot be used: damaged, no embedder, several outputs and none named, a
            format that onnxruntime does not know.
        ConfigError: A value that cannot be, or contradicts the file; `out` is taken.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists: choose another path, or give --overwrite")
    file = read_onnx(source)
    card = _described(file, like, values)
    repaired = parse_onnx(file.path, _repaired(file, card))
    card = replace(card, dimension=_width(repaired, card), body_sha256=repaired.body_sha256)
    model = OnnxModel(repaired, card)
    _try(model, file)
    told = {**file.metadata, KEY: card.to_json()}
    with atomic_path(out) as temporary:
        temporary.write_bytes(with_metadata(repaired.content, told))
    return Added(out, card, card.dimension, model.fingerprint, _speed(model))


def card_of_public(file_sha256: str) -> Card | None:
    """Return the card of the public model whose file has this SHA-256, None where there is none."""
    for one in entries():
        if one.sha256 == file_sha256 and one.task == "embedding":
            said = {"name": one.name, "licence": one.licence, "trained_on": one.trained_on}
            return Card(source_sha256=one.sha256).with_values({**_input_of(one), **said})
    return None


def _input_of(one: Entry) -> dict[str, Any]:
    return {**one.input, "alignment": one.alignment}


def _described(file: OnnxFile, like: str | None, values: Mapping[str, Any]) -> Card:
    """Return the card from the values of the caller, of `like` and of the file, in this order."""
    known = card_of(file) or card_of_public(file.sha256)
    card = known or Card(source_sha256=file.sha256, name=file.path.stem)
    if like is not None:
        card = card.with_values(_like(like))
    image = _image_input(file, values.get("input") or card.input)
    output = _output(file, values.get("output") or card.output)
    layout = values.get("layout") or _layout(image) or card.layout
    rest = (image.shape or [None] * 4)[1:]
    sides = rest[1:] if layout == "NCHW" else rest[:2]
    said: dict[str, Any] = {}
    if None not in sides:
        said["size"] = tuple(sides)
    elif known is None and like is None and "size" not in values:
        raise ConfigError(
            f"{file.path} takes images of any size ({image.said}): give the size that it was "
            "trained with (--size 112)"
        )
    if "size" in said and max(said["size"]) > _LARGEST_SIDE:
        raise ModelError(
            f"{file.path} takes images of {sides[0]} x {sides[1]} pixels, and facever makes at "
            f"most {_LARGEST_SIDE} x {_LARGEST_SIDE}"
        )
    missing = [name for name in ("mean", "std") if values.get(name) is None]
    if missing and known is None and like is None:
        raise ConfigError(
            f"give --{' and --'.join(missing)} that {file.path} was trained with, of values 0 to "
            "255 (such as 127.5; ImageNet: 123.675,116.28,103.53 and 58.395,57.12,57.375), or "
            "--like insightface"
        )
    try:
        given = {name: value for name, value in values.items() if value is not None}
        named = {"input": image.name, "output": output.name, "layout": layout}
        return card.with_values({**said, **given, **named}).checked()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"what the model takes: {error}") from error


def _like(name: str) -> dict[str, Any]:
    if name in LIKE:
        return LIKE[name]
    if is_name(name) and (one := entry(name)).input:
        return _input_of(one)
    allowed = [*LIKE, *(one.name for one in entries() if one.input)]
    raise ConfigError(unknown("model", name, allowed))


def _image_input(file: OnnxFile, wanted: str) -> Port:
    """Return the one input of a file."""
    if wanted and wanted not in [one.name for one in file.inputs]:
        raise ConfigError(
            f"{file.path} has no input '{wanted}' that is read; it has: {names(file.inputs)}"
        )
    if len(file.inputs) != 1:
        raise ModelError(
            f"{file.path} needs {len(file.inputs)} inputs ({names(file.inputs)}) and facever gives "
            "one, the images: export the model with the images as its only input"
        )
    found = file.inputs[0]
    if found.kind not in TYPES or (found.shape is not None and len(found.shape) != 4):
        raise ModelError(
            f"{file.path} does not take images: its input {found.said} must have four dimensions "
            f"of {', '.join(TYPES.values())}"
        )
    return found


def _output(file: OnnxFile, wanted: str) -> Port:
    """Return the output that is the embedding."""
    if not wanted and len(file.outputs) > 1:
        raise ConfigError(
            f"{file.path} has {len(file.outputs)} outputs: name the embedding with --output "
            f"({names(file.outputs)})"
        )
    found = next((one for one in file.outputs if wanted in ("", one.name)), None)
    if found is None:
        raise ConfigError(
            f"{file.path}: {unknown('output', wanted, [one.name for one in file.outputs])}"
        )
    if file.makers.get(found.name) in ("Softmax", "LogSoftmax", "ArgMax"):
        raise ModelError(
            f"{file.path}: output '{found.name}' is made by {file.makers[found.name]}: it names "
            "classes and is no embedding; export the layer before the classifier"
        )
    return found


def _layout(image: Port) -> str | None:
    """Return the layout that the shape of an input says, None where it says nothing."""
    channels = [n for n in (1, 3) if image.shape and image.shape[n] in (1, 3)]
    return {1: "NCHW", 3: "NHWC"}[channels[0]] if len(channels) == 1 else None


def _repaired(file: OnnxFile, card: Card) -> bytes:
    """Return the model with one input, one output, and all of its numbers."""
    onnx = onnx_package()
    model = onnx.load_model_from_string(file.content)
    if file.elsewhere:  # `read_onnx` has looked at where they lie
        onnx.load_external_data_for_model(model, str(file.path.parent))
    for kept, name in ((model.graph.input, card.input), (model.graph.output, card.output)):
        one = next(port for port in kept if port.name == name)
        del kept[:]
        kept.append(one)
    model.ir_version = max(model.ir_version, _OLDEST_IR)
    del model.metadata_props[:]
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except ValueError as error:
        raise ModelError(f"{file.path} is too large for one ONNX file (2 GiB)") from error


def _width(file: OnnxFile, card: Card) -> int:
    """Return how many components the output has for an image."""
    engine = open_engine(file, card.output)
    _, together = fitting(engine, card, file)
    channels = engine.shape[1 if card.layout == "NCHW" else 3] or 3
    shape = (channels, *card.size) if card.layout == "NCHW" else (*card.size, channels)
    found = engine.run(np.full((together, *shape), 128, np.float32))
    wide = [side for side in found.shape[1:] if side != 1]
    if found.shape[:1] != (together,) or len(wide) != 1:
        raise ModelError(
            f"{file.path}: output '{card.output}' of {together} image(s) has the shape "
            f"{list(found.shape)}, and an embedder gives one vector an image: name another output "
            f"with --output ({names(file.outputs)})"
        )
    return int(wide[0])


def _try(model: OnnxModel, file: OnnxFile) -> None:
    """Embed a few images, and refuse a model whose answers cannot be embeddings."""
    images = _probes(model)
    found = model.embed_pixels(images)
    where = f"{file.path}: output '{model.card.output}'"
    if not np.isfinite(found).all():
        raise ModelError(f"{where} is infinite or NaN for images: check --mean and --std")
    lengths = np.linalg.norm(found, axis=1)
    if not lengths.all():
        raise ModelError(f"{where} is zero for images: it is no embedding")
    if found.min() >= 0 and np.allclose(found.sum(axis=1), 1, atol=1e-3):
        raise ModelError(
            f"{where} gives probabilities: this is a classifier, no embedder; export the layer "
            "before the classifier"
        )
    apart = np.abs(found[1:] - found[0]).max() / lengths.max()
    again = np.abs(model.embed_pixels(images) - found).max() / lengths.max()
    if again > _EQUAL or apart <= again:
        why = "not the same in two runs" if again > _EQUAL else "the same for all images"
        raise ModelError(f"{where} is {why}: it is no embedding")


def _probes(model: OnnxModel) -> NDArray[np.uint8]:
    """Return images whose parts differ, uint8 [N, H, W, 3]."""
    coarse = stream(0, "onnx probe").integers(0, 256, (_PROBES, 8, 8, 3), dtype=np.uint8)
    return np.stack([model.prepare(image.repeat(16, 0).repeat(16, 1)) for image in coarse])


def _speed(model: OnnxModel) -> float:
    """Return how many images a second one thread embeds."""
    image, count, begun = _probes(model)[:1], 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < _SECONDS:
        model.embed_pixels(image)
        count += 1
    return count / taken
