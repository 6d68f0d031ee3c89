"""Opening an ONNX model: a file with a card, or a public model, whose repaired copy is kept."""

import os
from pathlib import Path

from facever.catalogue import Entry, entries, entry, introduce, is_name, path_of
from facever.core.cache_folder import cache_folder
from facever.core.console import warn
from facever.errors import ModelError
from facever.models.extraction import Precision
from facever.models.onnx.card import Card, card_of
from facever.models.onnx.engine import OnnxEngine
from facever.models.onnx.file import OnnxFile, read_onnx
from facever.models.onnx.model import OnnxModel


def open_onnx(
    model: str | Path,
    device: str,
    flip: bool,
    precision: Precision | None,
    batch_size: int,
    engine: OnnxEngine = "onnxruntime",
) -> OnnxModel:
    """Open an .onnx file, or a public model by its name; see `facever.load_model`.

    Raises:
        ModelError: There is no usable model.
        ConfigError: An option that ONNX models do not have.
    """
    file, card, public = find_onnx(model)
    points = list(public.operating_points.values()) if public else []
    return OnnxModel(file, card, device, flip, precision, batch_size, points, engine)


def find_onnx(model: str | Path) -> tuple[OnnxFile, Card, Entry | None]:
    """Read an .onnx file, or a public model by its name.

    Returns:
        The file, its card, and its entry of the catalogue if it is a public model.

    Raises:
        ModelError: There is no usable model.
    """
    path = Path(model)
    if not path.exists() and is_name(os.fspath(model)):
        public: Entry | None = entry(os.fspath(model))
        card, path = None, path_of(os.fspath(model))
    else:
        file = read_onnx(path)
        card = card_of(file)
        sha256 = card.source_sha256 if card else file.sha256
        public = next((one for one in entries() if one.sha256 == sha256), None)
    if public is not None:
        if public.task != "embedding":
            raise ModelError(f"model '{public.name}' finds faces and gives no vectors: use sface")
        introduce(public)
        if card is None:
            file, card = _repaired_copy(path, public.sha256)
    if card is None:
        raise ModelError(
            f"{path} has no card that says what its input is: facever models add {path} --size 112 "
            "--color rgb --mean 127.5 --std 127.5 --alignment arcface-112 --out NAME.onnx (or "
            "--like insightface)"
        )
    return file, card, public


def _repaired_copy(source: Path, sha256: str) -> tuple[OnnxFile, Card]:
    """Return the copy of a public model in the user's cache; it is made at the first use."""
    path = cache_folder() / "onnx" / f"{sha256}.onnx"
    if path.is_file():
        try:
            copy = read_onnx(path)
            if (card := card_of(copy)) and card.source_sha256 == sha256:
                return copy, card
        except ModelError as error:
            warn(f"{error}: building it again")
    from facever.models.onnx.adding import add_model

    path.parent.mkdir(parents=True, exist_ok=True)
    added = add_model(source, path, overwrite=True)
    return read_onnx(path), added.card
