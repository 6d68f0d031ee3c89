"""Opening an ONNX model: a file with a card, or a public model, whose repaired copy is kept."""

import os
from pathlib import Path

from facever.catalogue import entries, introduce, is_name, path_of
from facever.core.cache import cache_folder
from facever.core.console import warn
from facever.errors import ModelError
from facever.models.extraction import Precision
from facever.models.onnx.adding import add_model, card_of
from facever.models.onnx.card import Card
from facever.models.onnx.file import OnnxFile, read_onnx
from facever.models.onnx.model import OnnxModel


def open_onnx(
    model: str | Path, device: str, flip: bool, precision: Precision, batch_size: int
) -> OnnxModel:
    """Open an .onnx file, or a public model by its name; see `facever.load_model`.

    Raises:
        ModelError: Nothing usable there.
        ConfigError: An option that ONNX models do not have.
    """
    source = Path(model)
    if not source.exists() and is_name(os.fspath(model)):
        source = path_of(os.fspath(model))
    file = read_onnx(source)
    card = card_of(file)
    points = []
    for one in entries():
        if one.sha256 == (card.source_sha256 if card else file.sha256):
            if one.task != "embedding":
                raise ModelError(f"model '{one.name}' finds faces and gives no vectors: use sface")
            introduce(one)
            points = list(one.operating_points.values())
            if card is None:
                file, card = _repaired_copy(file, one.sha256)
    if card is None:
        raise ModelError(
            f"{source} has no card that says what its input is: facever models add {source} --size "
            "112 --color rgb --mean 127.5 --std 127.5 --alignment arcface-112 --out NAME.onnx (or "
            "--like insightface)"
        )
    return OnnxModel(file, card, device, flip, precision, batch_size, points)


def _repaired_copy(file: OnnxFile, sha256: str) -> tuple[OnnxFile, Card]:
    """Return the copy of a public model that is in the user's cache, made the first time."""
    path = cache_folder() / "onnx" / f"{sha256}.onnx"
    if path.is_file():
        try:
            copy = read_onnx(path)
            if (card := card_of(copy)) and card.source_sha256 == sha256:
                return copy, card
        except ModelError as error:
            warn(f"{error}: it is made again")
    path.parent.mkdir(parents=True, exist_ok=True)
    added = add_model(file.path, path, overwrite=True)
    return read_onnx(path), added.card
