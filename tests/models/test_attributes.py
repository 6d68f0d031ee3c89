"""The attribute classifier's file: what is damaged is not used."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from facever.errors import ModelError
from facever.models.attributes import AttributeClassifier


@pytest.fixture
def path(tmp_path: Path) -> Path:
    numbers = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    classifier = AttributeClassifier(
        ("hat", "smile"), numbers, numbers[:, 0], numbers[:, 1], "f", {}
    )
    classifier.save(tmp_path / "attributes.safetensors")
    return tmp_path / "attributes.safetensors"


def test_one_flipped_bit_is_refused(path: Path) -> None:
    assert AttributeClassifier.load(path).labels == ("hat", "smile")
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 64
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"attributes\.safetensors is damaged"):
        AttributeClassifier.load(path)


@pytest.mark.parametrize("header", [None, "[" * 100_000 + "]" * 100_000])
def test_headers_of_earlier_versions_and_of_strangers(path: Path, header: str | None) -> None:
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = json.loads(file.metadata()["facever"])
    del said["sha256"]
    save_file(tensors, path, {"facever": header or json.dumps(said)})
    if header is None:
        assert AttributeClassifier.load(path).labels == ("hat", "smile")
        return
    with pytest.raises(ModelError, match=r"attributes\.safetensors is damaged"):
        AttributeClassifier.load(path)
