"""The options of photos: each wrong use is one line and status 2."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.cli.photo_options import photos_of
from facever.errors import ConfigError, ModelError
from facever.gallery.gallery import Gallery
from facever.models.embedder import Embedder, ModelConfig
from facever.models.saving import save_embedder
from tests.squares import AlignedColours


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model that takes crops, its gallery, an image, and a folder of it."""
    root = tmp_path_factory.mktemp("photos")
    embedder = Embedder(ModelConfig(backbone="test_resnet", embedding_size=8))
    save_embedder(embedder.eval(), root / "model.safetensors", metric="cosine")
    image = root / "people" / "a" / "1.png"
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    shutil.copy(image, image.with_name("2.png"))
    from facever.models.loading import load_model

    Gallery.create(root / "gallery", load_model(root / "model.safetensors")).close()
    named = {"model": "model.safetensors", "gallery": "gallery", "people": "people"}
    return {**{name: root / path for name, path in named.items()}, "image": image}


def commands(places: dict[str, Path], tmp_path: Path) -> dict[str, list[object]]:
    """Every command that takes images."""
    model, gallery, image = places["model"], places["gallery"], places["image"]
    return {
        "embed": ["embed", model, places["people"], "--out", tmp_path / "out"],
        "verify": ["verify", model, image, image],
        "enroll": ["gallery", "enroll", gallery, places["people"], "--model", model],
        "search": ["gallery", "search", gallery, image, "--model", model],
        "verify person": ["gallery", "verify", gallery, "a", image, "--model", model],
        "migrate": ["gallery", "migrate", gallery, "--model", model],
    }


NAMES = ["embed", "verify", "enroll", "search", "verify person", "migrate"]


@pytest.mark.parametrize("name", NAMES)
def test_photos_for_a_model_of_crops_are_refused(facever, places, tmp_path, name: str):
    words = commands(places, tmp_path)[name]
    for asked in (["--face", "central"], ["--photos", "--rotations"], ["--min-quality", 20]):
        status, _, said = facever(*words, *asked)
        assert (status, said.count("\n")) == (2, 1)
        assert "the model takes crops" in said
        assert "--crops" in said


@pytest.mark.parametrize("name", NAMES)
def test_options_of_photos_do_not_belong_to_crops(facever, places, tmp_path, name: str):
    words = commands(places, tmp_path)[name]
    status, _, said = facever(*words, "--crops", "--face", "largest", "--detector", "x.onnx")
    assert (status, said.count("\n")) == (2, 1)
    assert "--face, --detector: for photos only: omit" in said


@pytest.mark.parametrize("words", [["search"], ["verify", "a"]])
@pytest.mark.parametrize("asked", [["--crops"], ["--photos"], ["--rotations"]])
def test_embeddings_need_no_photos(facever, places, tmp_path, words, asked):
    verb, *who = words
    given = ["--embeddings", tmp_path / "none"]
    status, _, said = facever("gallery", verb, places["gallery"], *who, *given, *asked)
    assert (status, said.count("\n")) == (2, 1)
    assert "omit them with --embeddings" in said


def test_crops_are_embedded_with_no_word_of_photos(facever, places, tmp_path):
    status, said, _ = facever(*commands(places, tmp_path)["embed"], "--crops", "--workers", 0)
    assert (status, "acquired:   crops (no alignment)" in said) == (0, True)


def test_what_is_asked_for_reaches_the_cropper(real_models):
    cropper = photos_of(AlignedColours(), None, "only", 40.0, True, "yunet")
    said = cropper.provenance
    assert (said["face"], said["min_quality"], said["rotations"]) == ("only", 40, True)
    assert said["template"] == "arcface-112"
    with pytest.raises(ConfigError, match=r"face is 'widest' \(allowed: "):
        photos_of(AlignedColours(), True, "widest")
    with pytest.raises(ModelError, match=r"no-such\.onnx"):
        photos_of(AlignedColours(), True, detector="no-such.onnx")


def test_neither_is_what_the_model_says():
    assert [photos_of(AlignedColours(), given) for given in (None, True, False)] == [
        None,
        True,
        False,
    ]
