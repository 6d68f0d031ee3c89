"""int8 of an ONNX model: calibrated on images, with the costliest layers left in float.

Weights are quantised per output channel to 7 of 8 bits, so that sums of products do not saturate on
processors without VNNI; activations per tensor to 8 bits. Every fourth image is not calibrated on:
distances are measured on these.

Reference: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, CVPR 2018; ONNX, operators QuantizeLinear and DequantizeLinear.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from facever.core.files import atomic_path
from facever.errors import ConfigError, DataError, ModelError
from facever.models.onnx.card import KEY, Card
from facever.models.onnx.file import OnnxFile, parse_onnx, with_metadata
from facever.models.onnx.model import OnnxModel
from facever.models.onnx.opening import find_onnx
from facever.models.onnx.quantizer import Quantizer
from facever.render.values import Record

FEWEST = 32
"""Different images that a calibration needs at least; 200 or more are recommended."""

_MEASURED = 4  # every fourth image is for distances
_LARGEST_SHARE = 0.25  # of the layers, that may stay in float
_ROUNDS, _SECONDS = 5, 0.1  # of the speed


@dataclass(frozen=True)
class Quantized(Record):
    """An int8 model that was written, and what it costs.

    Attributes:
        path: Where it is.
        source: Name of the model that it was made from.
        source_fingerprint: Of that model's vectors, without flip.
        fingerprint: Of the int8 model's vectors, without flip: another embedding space.
        dataset: What the images are, in words.
        calibrated, measured: Numbers of images that ranges, and distances, are of.
        mean_distance, largest_distance: Cosine distance of the vectors to those of the source.
        distance_all_int8: Mean distance if every layer is int8.
        layers: Number of layers that can be int8.
        float_layers: Layers that stayed in float: name and mean distance if only it is int8.
        source_speed, speed: Images per second of both by onnxruntime, one thread, one image at a
            time.
    """

    path: Path
    source: str
    source_fingerprint: str
    fingerprint: str
    dataset: str
    calibrated: int
    measured: int
    mean_distance: float
    largest_distance: float
    distance_all_int8: float
    layers: int
    float_layers: dict[str, float]
    source_speed: float
    speed: float

    @property
    def note(self) -> str:
        """The cost in one line; says so if int8 is not faster."""
        faster = self.speed / self.source_speed
        speed = f"{self.speed:.0f} images/s, {faster:.2f} times those of {self.source}"
        if faster <= 1:
            speed = f"not faster on this machine: {speed}"
        return (
            f"int8: cosine distance to {self.source} {self.mean_distance:.1e} (mean), "
            f"{self.largest_distance:.1e} (largest of {self.measured} images); "
            f"{len(self.float_layers)} of {self.layers} layers in float; {speed} (onnxruntime, one "
            "thread)"
        )


def quantize(
    source: str | Path,
    out: str | Path,
    images: Sequence[NDArray[np.uint8]],
    *,
    dataset: str = "",
    most_distance: float = 1e-3,
    overwrite: bool = False,
) -> Quantized:
    """Write the int8 model of a float ONNX model. It is another embedding space.

    Layers are put back to float one after the other, the one with the largest distance first,
    until the mean distance is at most `most_distance`, but at most a quarter of them.

    Args:
        source: An .onnx file with a card, or a public model's name.
        out: The file to write.
        images: Images that the model is to be used on, as it takes them before its preprocessing:
            uint8 [H, W, 3] RGB, not smaller than its input.
        dataset: What the images are, in words, for the card.
        most_distance: Mean cosine distance, 0 to 2, to aim at.
        overwrite: Whether an existing file is replaced.

    Raises:
        DataError: Fewer than `FEWEST` different images, or images of another size or type.
        ModelError: The source is no float model that can be quantised, or the result is not finite;
            onnx or onnxruntime is not installed.
        ConfigError: `out` exists.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists: choose another path, or give --overwrite")
    file, card, _ = find_onnx(source)
    if card.precision != "fp32":
        raise ModelError(f"{file.path} is {card.precision}: give the fp32 model")
    model = OnnxModel(file, card)
    pixels = _checked(images, model, card)
    kept = np.arange(len(pixels)) % _MEASURED != _MEASURED - 1
    measured = pixels[~kept]
    wanted = _unit(model, measured)
    with tempfile.TemporaryDirectory() as folder:
        quantizer = Quantizer(
            file, Path(folder), [model.network_input(some) for some in _pieces(model, pixels[kept])]
        )
        trial = _Trial(file, card, quantizer, measured, wanted)
        floats, everywhere = _chosen(trial, most_distance)
        content = quantizer.quantized(excluded=list(floats))
    made, distances = trial.model(content), trial.distances(content)
    _unit(made, measured)
    before, after = _speeds(model, made, measured[:1])
    result = Quantized(
        out,
        card.name or file.path.stem,
        model.fingerprint,
        made.fingerprint,
        dataset,
        int(kept.sum()),
        len(measured),
        float(distances.mean()),
        float(distances.max()),
        everywhere,
        len(quantizer.layers),
        floats,
        before,
        after,
    )
    cost = result.to_dict()
    del cost["path"], cost["fingerprint"]
    written = replace(made.card, quantization=cost)
    told = {**file.metadata, KEY: written.to_json()}
    with atomic_path(out) as temporary:
        temporary.write_bytes(with_metadata(content, told))
    return result


class _Trial:
    """Networks of a quantiser, measured by their distances to the source.

    Args:
        file, card: Of the source.
        quantizer: Makes the networks.
        pixels: Preprocessed images, uint8 [N, H, W, 3].
        wanted: The source's unit vectors, [N, D].
    """

    def __init__(
        self,
        file: OnnxFile,
        card: Card,
        quantizer: Quantizer,
        pixels: NDArray[np.uint8],
        wanted: NDArray[np.float64],
    ) -> None:
        self._file, self._card, self._pixels, self._wanted = file, card, pixels, wanted
        self.quantizer = quantizer

    def model(self, content: bytes) -> OnnxModel:
        """Return the model of a network; its weights are named by the network itself."""
        file = parse_onnx(self._file.path, content)
        name = f"{self._card.name or self._file.path.stem}-int8"
        body = file.body_sha256
        card = replace(
            self._card, name=name, precision="int8", source_sha256=body, body_sha256=body
        )
        return OnnxModel(file, card)

    def distances(self, content: bytes) -> NDArray[np.float64]:
        """Return the cosine distance of each image, [N]; 1 of vectors without a direction."""
        found = self.model(content).embed_pixels(self._pixels).astype(np.float64)
        lengths = np.linalg.norm(found, axis=1)
        products = np.einsum("nd,nd->n", found, self._wanted)
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = np.nan_to_num(1 - products / lengths, nan=1.0, posinf=1.0, neginf=1.0)
        checked: NDArray[np.float64] = np.clip(distances, 0, 2)
        return checked


def _chosen(trial: _Trial, most: float) -> tuple[dict[str, float], float]:
    """Return the layers that stay in float with their distances, and the distance without them."""
    quantizer = trial.quantizer
    whole = float(trial.distances(quantizer.quantized()).mean())
    if whole <= most:
        return {}, whole
    alone = {
        layer: float(trial.distances(quantizer.quantized(only=[layer])).mean())
        for layer in quantizer.layers
    }
    worst = sorted(alone, key=lambda layer: -alone[layer])
    count, limit = 1, max(1, int(_LARGEST_SHARE * len(worst)))
    while True:
        excluded = worst[: min(count, limit)]
        if count >= limit:
            break
        if trial.distances(quantizer.quantized(excluded=excluded)).mean() <= most:
            break
        count *= 2
    return {layer: alone[layer] for layer in excluded}, whole


def _checked(
    images: Sequence[NDArray[np.uint8]], model: OnnxModel, card: Card
) -> NDArray[np.uint8]:
    """Return preprocessed images, uint8 [N, H, W, 3].

    Raises:
        DataError: They are too few, or of another size or type.
    """
    height, width = card.size
    for number, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(
                f"calibration image {number} is {image.dtype} {list(image.shape)}: give RGB "
                "pixels, uint8 [H, W, 3]"
            )
        if image.shape[0] < height or image.shape[1] < width:
            raise DataError(
                f"calibration image {number} has {image.shape[0]} x {image.shape[1]} pixels and "
                f"the model takes {height} x {width}: calibrate on images of its size"
            )
    pixels = [model.prepare(image) for image in images]
    different = len({image.tobytes() for image in pixels})
    if different < FEWEST:
        raise DataError(
            f"{different} different calibration image{'s' * (different != 1)}: at least {FEWEST} "
            "are needed, and 200 or more recommended (--calibrate DATA)"
        )
    return np.stack(pixels)


def _unit(model: OnnxModel, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return unit vectors, [N, D].

    Raises:
        ModelError: A vector is zero, infinite or NaN.
    """
    found = model.embed_pixels(pixels).astype(np.float64)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(found).all() or not lengths.all():
        raise ModelError(
            f"{model.card.name}: vectors of calibration images are zero, infinite or NaN: it "
            "cannot be quantised"
        )
    unit: NDArray[np.float64] = found / lengths
    return unit


def _pieces(model: OnnxModel, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    step = model.together
    return [pixels[first : first + step] for first in range(0, len(pixels), step)]


def _speeds(first: OnnxModel, second: OnnxModel, image: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the images per second of two models, measured in turns; one thread each."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for model, found in zip((first, second), rates, strict=True):
            count, begun = 0, perf_counter()
            while (taken := perf_counter() - begun) < _SECONDS:
                model.embed_pixels(image)
                count += 1
            found.append(count / taken)
    return median(rates[0]), median(rates[1])
