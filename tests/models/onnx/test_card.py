"""Cards of exports, and those of earlier versions."""

import json
from dataclasses import asdict, replace

import pytest

from facever.errors import ModelError
from facever.models.onnx.card import FORMAT, Card
from facever.models.onnx.export_record import ExportRecord

RECORD = ExportRecord("h", "f", "inside", 18, "2026-11-29T00:00:00+00:00", people={"datasets": {}})
EXPORT = Card(body_sha256="b" * 64, export=RECORD, crop=0.8, precision="fp16", flip=True)

FORMER = {
    "alignment": "arcface-112", "body_sha256": "2b", "color": "rgb", "dimension": 128, "format": 1,
    "input": "data", "interpolation": "area", "layout": "NCHW", "licence": "Apache-2.0",
    "mean": [0.0, 0.0, 0.0], "metric": "cosine", "name": "sface", "output": "fc1",
    "size": [112, 112], "source_sha256": "3c", "std": [1.0, 1.0, 1.0], "trained_on": "",
}  # fmt: skip
FINGERPRINT = "2006938f99bf0c386a212913014820dff4e553014722413415cfdca071b70faa"


def test_a_card_of_the_first_format_is_as_it_was() -> None:
    card = Card.from_json(json.dumps(FORMER), "m.onnx")
    assert json.loads(card.to_json()) == FORMER
    assert card.fingerprint(flip=False, precision="fp32") == FINGERPRINT
    assert (card.export, card.flip, card.crop, card.precision) == (None, False, 1.0, "fp32")


def test_a_card_of_an_export_comes_back() -> None:
    written = EXPORT.to_json()
    assert json.loads(written)["format"] == FORMAT == 2
    assert Card.from_json(written, "m.onnx") == EXPORT
    later = {**json.loads(written), "unknown": 1}
    later["export"]["unknown"] = 2
    assert Card.from_json(json.dumps(later), "m.onnx") == EXPORT


def test_the_fingerprint_of_an_export_is_of_its_bytes() -> None:
    first = EXPORT.fingerprint(flip=False, precision="fp32")
    assert EXPORT.fingerprint(flip=True, precision="fp32") == first  # the file flips anyway
    for changed in ({"body_sha256": "c" * 64}, {"crop": 0.9}, {"flip": False}, {"export": None}):
        assert replace(EXPORT, **changed).fingerprint(flip=False, precision="fp32") != first
    told = replace(EXPORT, export=replace(RECORD, cost={"largest": 0}))
    assert told.fingerprint(flip=False, precision="fp32") == first


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 3),
        ("export", 3),
        ("export", {"model_hash": "h"}),
        ("export", {**asdict(RECORD), "opset": "18"}),
        ("export", {**asdict(RECORD), "people": []}),
        ("export", {**asdict(RECORD), "operating_points": {}}),
        ("precision", "fp8"),
        ("flip", "yes"),
        ("crop", 0),
    ],
)
def test_a_damaged_or_newer_card(key: str, value: object) -> None:
    written = json.dumps({**json.loads(EXPORT.to_json()), key: value})
    with pytest.raises(ModelError, match=r"m\.onnx") as error:
        Card.from_json(written, "m.onnx")
    assert "\n" not in str(error.value)
