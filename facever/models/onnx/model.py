"""OnnxModel: an ONNX file as a facever model, without torch."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from facever._version import __version__
from facever.core.threads import in_order
from facever.data.acquisition import Acquire, OnError
from facever.data.given import Given, read_images
from facever.data.machine import most_processes, processes_here, usable_cpus
from facever.errors import ConfigError, ModelError
from facever.models.extraction import LoadedModel, Precision
from facever.models.onnx.card import Card
from facever.models.onnx.engine import Engine, OnnxEngine, open_engine
from facever.models.onnx.file import OnnxFile, names
from facever.models.streams import EmbeddedBlock, Workers, in_rows, located_by

if TYPE_CHECKING:
    import pandas as pd

    from facever.data.manifest import Manifest
    from facever.operating_point import OperatingPoint


class OnnxModel(LoadedModel):
    """An ONNX model ready to embed images, computed by onnxruntime or OpenVINO on the CPU.

    Each image is computed separately, in one thread, and as many images at once as
    there are cores: a vector depends on its image alone, not on its neighbours or on the machine's
    number of cores. Decoding, faces and preprocessing happen in the same threads.

    Args:
        file: The model.
        card: What is known of it.
        device: "auto" or "cpu".
        flip: Embed each image and its mirror image, and average the two embeddings before
            normalising; twice the time. A file that does so itself always does.
        precision: None: that of the file (see `Card`), which it must be otherwise, too; but
            OpenVINO can compute a file of "fp32" in "bf16".
        batch_size: Images that are handed on, and written, together.
        operating_points: 1:1 operating points that come with it; the first of its fingerprint
            decides.
        engine: "onnxruntime" or "openvino".

    Attributes:
        path: The file.
        card: As given.
        fingerprint: Of the model, its preprocessing, alignment and output, engine and options.

    Raises:
        ModelError: The engine is not installed or cannot take the file, which is no embedder.
        ConfigError: Another device, precision or engine, or a batch size below 1.
    """

    def __init__(
        self,
        file: OnnxFile,
        card: Card,
        device: str = "auto",
        flip: bool = False,
        precision: Precision | None = None,
        batch_size: int = 64,
        operating_points: Sequence[Mapping[str, Any]] = (),
        engine: OnnxEngine = "onnxruntime",
    ) -> None:
        precision = _settled(precision, card, engine)
        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"device is '{device}': ONNX models are computed on the CPU (allowed: auto, cpu)"
            )
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: it must be 1 or larger")
        self.path, self.card = file.path, card
        self.device, self.batch_size = "cpu", batch_size
        self.flip = flip and not card.flip  # to be done here
        self._preprocessing = card.preprocessing
        floats = "bf16" if precision == "bf16" else "fp32"
        self._engine: Engine = open_engine(file, card.output, engine, floats)
        self._channels, self._together = fitting(self._engine, card, file)
        self._mean = np.array(card.mean, np.float32)[: self._channels]
        self._scale = 1 / np.array(card.std, np.float32)[: self._channels]
        self.dimension = card.dimension
        self.fingerprint = card.fingerprint(flip=flip, precision=precision, engine=engine)
        self.metric, self.alignment = card.metric, card.alignment
        self.verified = card.export is not None  # else the card names the bytes it came from
        self.exported_from = None if card.export is None else card.export.fingerprint
        self.preprocessing = self._preprocessing.model_dump(mode="json")
        self.options = {"flip": flip or card.flip, "precision": precision, "engine": engine}
        self._points = [*operating_points, *(card.export.operating_points if card.export else ())]

    @cached_property
    def trained_on(self) -> "pd.DataFrame | None":  # type: ignore[override]
        """Codes of the people that an exported model was trained on; None if not known."""
        return None if self.card.export is None else self.card.export.trained_on

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages that make the vectors."""
        engine = self.options["engine"]
        return {
            "facever": __version__,
            "numpy": np.__version__,
            engine: self._engine.version,
        }

    @cached_property
    def operating_points(self) -> "list[OperatingPoint]":
        """The 1:1 operating points of this model that ship with facever, or are in its file."""
        if not self._points:
            return []
        from facever.config import parse
        from facever.operating_point import OperatingPoint

        points = (parse(OperatingPoint, point, where=self.card.name) for point in self._points)
        return [one for one in points if one.fingerprint == self.fingerprint]

    @property
    def operating_point(self) -> "OperatingPoint | None":
        """The first of `operating_points`, the strictest; None where there is none."""
        return next(iter(self.operating_points), None)

    @property
    def operating_point_note(self) -> str:
        """A note on `operating_point` for users: the data that it was measured on."""
        if self.operating_point is None:
            return ""
        if self.card.export is not None:
            return (
                "the threshold was measured with the model that was exported "
                f"({self.card.export.fingerprint[:12]}), on {self.operating_point.dataset}"
            )
        return (
            f"the threshold was measured on {self.operating_point.dataset}, not on your data: "
            "measure one of your own (facever evaluate verification EMBEDDINGS --at-far RATE "
            "--save-operating-point FILE)"
        )

    def blocks(
        self,
        images: "Manifest | Sequence[Given]",
        runs: Sequence[range] | None = None,
        *,
        workers: Workers = "auto",
        on_error: OnError = "skip",
        faces: Acquire | None = None,
    ) -> Generator[EmbeddedBlock, None, None]:
        """See `LoadedModel`; `workers` are threads: "auto" and 0 take one for each core.

        Raises:
            ConfigError: `workers` or `on_error` is something else.
        """
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"on_error is '{on_error}' (allowed: raise, skip)")
        locate = located_by(images)

        def embedded(some: range) -> EmbeddedBlock:
            pixels, errors, found = read_images(
                (locate(row) for row in some), self._preprocessing.apply, on_error, faces, some[0]
            )
            rows = np.zeros((len(some), self.dimension), np.float32)
            if pixels:
                rows[[error is None for error in errors]] = self._forward(np.stack(pixels))
            return EmbeddedBlock(some[0], rows, errors, in_rows(found, errors))

        blocks = [
            block
            for run in (runs if runs is not None else [range(len(images))])
            for block in _pieces(run, self.batch_size)
        ]
        pieces = [piece for block in blocks for piece in _pieces(block, self._together)]
        done = in_order(embedded, pieces, min(_threads(workers), len(pieces)) or 1)
        try:
            for block in blocks:
                yield _joined(done, block)
        finally:
            done.close()

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop, resize and order the colours of an image, uint8 [H, W, 3] RGB."""
        return self._preprocessing.apply(image)

    def embed_pixels(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images that are preprocessed already, with one thread for each core.

        Args:
            images: uint8 [B, H, W, 3], of the size and in the colour order of `preprocessing`.

        Returns:
            float32 [B, D], not normalised.
        """
        pieces = _pieces(range(len(images)), self._together)
        done = in_order(
            lambda some: self._forward(images[some.start : some.stop]),
            pieces,
            min(_threads("auto"), len(pieces)) or 1,
        )
        return np.concatenate([np.empty((0, self.dimension), np.float32), *done])

    def embed_batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed preprocessed images as `embed_pixels` does, but in one run of the network."""
        return self._forward(images)

    def _forward(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embeddings of as many images as go through together, or fewer."""
        rows = self._raw(images)
        if self.flip:
            rows = np.float32(0.5) * (rows + self._raw(images[:, :, ::-1]))
        return rows

    @property
    def together(self) -> int:
        """Images that go through the network at once: 1, or the fixed batch of the file."""
        return self._together

    def network_input(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return preprocessed images as the network takes them.

        Args:
            images: uint8 [B, H, W, 3] as for `embed_pixels`; B at most `together`.

        Returns:
            [`together`, ...] in the layout of the file; missing images repeat the first one.
        """
        given = images[..., : self._channels]
        levels = given if self._engine.takes_levels else (given - self._mean) * self._scale
        if (missing := self._together - len(levels)) > 0:  # a file of a fixed batch
            levels = np.concatenate([levels, np.repeat(levels[:1], missing, axis=0)])
        if self.card.layout == "NCHW":
            levels = levels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(levels)

    def _raw(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        levels = self.network_input(images)
        found = self._engine.run(levels)
        if found.shape[:1] != levels.shape[:1] or found.size != len(levels) * self.dimension:
            raise ModelError(
                f"output '{self.card.output}' of {len(levels)} image(s) has the shape "
                f"{list(found.shape)}, not [{len(levels)}, {self.dimension}]: an embedder gives "
                "one vector an image"
            )
        return found.reshape(len(levels), self.dimension)[: len(images)]


def fitting(engine: Engine, card: Card, file: OnnxFile) -> tuple[int, int]:
    """Return how many channels a file takes and how many images at once, if its card fits it."""
    if len(engine.shape) != 4:
        raise ModelError(
            f"{file.path}: its input {names(file.inputs)} does not take images: it must have four "
            "dimensions"
        )
    batch, *rest = engine.shape
    channels, height, width = rest if card.layout == "NCHW" else (rest[2], *rest[:2])
    size = height or card.size[0], width or card.size[1]
    if size != card.size or channels not in (None, 1, 3):
        raise ModelError(
            f"{file.path}: its input is {names(file.inputs)}, and its card says {card.size[0]} x "
            f"{card.size[1]} pixels in {card.layout}: give --size and --layout of the file "
            "(facever models add)"
        )
    if channels == 1 and card.color != "grey":
        raise ModelError(f"{file.path} takes images of one channel: its color is grey")
    if engine.takes_levels and (any(card.mean) or set(card.std) != {1.0}):
        raise ModelError(f"{file.path} takes levels 0 to 255 (uint8): its mean is 0 and its std 1")
    return channels or 3, batch or 1


def _settled(precision: Precision | None, card: Card, engine: OnnxEngine) -> Precision:
    """Return the precision that a file is computed in.

    Raises:
        ConfigError: The file or the engine does not have it.
    """
    own = cast("Precision", card.precision)
    if precision is None or precision == own:
        return own
    if precision == "bf16" and own == "fp32" and engine == "openvino":
        return "bf16"
    remedy = {
        "int8": "facever export RUN --precision int8 --calibrate DATA makes such a file",
        "bf16": "engine openvino has bf16 for files of fp32",
    }.get(str(precision), "omit it")
    raise ConfigError(
        f"precision is '{precision}': {engine} computes an ONNX model in the numbers of its file "
        f"(allowed: {own}; {remedy})"
    )


def _threads(workers: Workers) -> int:
    if workers in ("auto", 0):
        return max(1, usable_cpus() // processes_here())
    most = most_processes()
    if not isinstance(workers, int) or not 0 < workers <= most:
        raise ConfigError(f"{workers} workers: it must be 0 to {most} on this machine, or 'auto'")
    return workers


def _pieces(rows: range, size: int) -> list[range]:
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def _joined(done: Iterator[EmbeddedBlock], rows: range) -> EmbeddedBlock:
    """Return the block of these rows, made of those that come next."""
    parts: list[EmbeddedBlock] = []
    while sum(len(part.errors) for part in parts) < len(rows):
        parts.append(next(done))
    errors = [error for part in parts for error in part.errors]
    columns = [
        said for part in parts for said in (part.columns or [dict[str, Any]()] * len(part.errors))
    ]
    return EmbeddedBlock(
        rows[0],
        np.concatenate([part.embeddings for part in parts]),
        errors,
        columns if any(columns) else (),
    )
