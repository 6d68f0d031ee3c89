"""Real photos of faces through the command line, by the public models."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.models.loading import load_model

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("real_models")]

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def lfw(real_data: Path) -> Path:
    if not (real_data / "lfw" / "raw_sample").is_dir():
        pytest.skip("FACEVER_DATA has no lfw/raw_sample")
    return real_data / "lfw"


@pytest.fixture
def noise(tmp_path: Path) -> list[Path]:
    """Two photos of nobody."""
    paths = [tmp_path / f"noise{seed}.png" for seed in range(2)]
    for seed, path in enumerate(paths):
        pixels = np.random.default_rng(seed).integers(0, 256, (250, 250, 3), np.uint8)
        cv2.imwrite(str(path), pixels)
    return paths


def test_photos_and_crops_are_one_space(facever: Call, lfw: Path, tmp_path: Path) -> None:
    """The crops were made by others, of the same photos."""
    out = tmp_path / "photos"
    given = ["embed", "sface", lfw / "raw_sample", "--out", out, "--face", "central"]
    status, said, _ = facever(*given, "--json")
    told = json.loads(said)
    assert (status, told["failure_to_acquire"]["failed"], told["images"]) == (0, 0, 150)
    photos = EmbeddingSet.load(out)
    model = load_model("sface")
    crops = model.embed([lfw / "images" / path for path in photos.rows["path"]], photos=False)
    cosines = (photos.vectors * crops).sum(axis=1)
    assert np.median(cosines) >= 0.98
    assert cosines.min() >= 0.90
    assert photos.meta.fingerprint == model.fingerprint
    acquired = photos.meta.acquisition
    assert (acquired["images"], acquired["detector"], acquired["face"]) == (
        "photos",
        "yunet",
        "central",
    )


def test_noise_is_nobody_and_not_the_same_person(facever: Call, noise: list[Path]) -> None:
    status, said, warned = facever("verify", "sface", *noise)
    assert (status, said) == (2, "")
    assert warned.splitlines()[-1] == f"error: {noise[0]}: no face found"
    status, _, warned = facever("verify", "sface", *noise, "--crops")  # asked for
    assert "error" not in warned


def test_a_gallery_of_photos(facever: Call, lfw: Path, noise: list[Path], tmp_path: Path) -> None:
    """One photo without a face enrolls the others; a group photo has an answer for each face."""
    photos = sorted((lfw / "raw_sample").rglob("*.jpg"))[:3]
    rows = [f"{photo},{photo.parent.name}" for photo in photos] + [f"{noise[0]},nobody"]
    table = tmp_path / "people.csv"
    table.write_text("path,identity\n" + "\n".join(rows))
    gallery = tmp_path / "gallery"
    assert facever("gallery", "create", gallery, "--model", "sface")[0] == 0
    enroll = ["gallery", "enroll", gallery, table, "--model", "sface"]
    status, said, warned = facever(*enroll, "--face", "central", "--json")
    told = json.loads(said)
    assert (status, told["images"], told["not_enrolled"]) == (0, 3, ["nobody"])
    assert (told["failure_to_acquire"]["failed"], told["failure_to_enrol"]["failed"]) == (1, 1)
    assert f"warning: not enrolled: 1 image ({noise[0]}: no face found)" in warned
    group = np.concatenate([cv2.imread(str(photo))[25:225, 25:225] for photo in photos], axis=1)
    cv2.imwrite(str(tmp_path / "group.png"), group)
    search = ["gallery", "search", gallery, tmp_path / "group.png", "--model", "sface", "-k", 1]
    answers = json.loads(facever(*search, "--face", "all", "--json")[1])["answers"]
    found = {
        int(float(answer["face"]["box"].split()[0])) // 200: answer["candidates"][0]
        for answer in answers
        if answer["candidates"][0]["score"] > 0.8
    }
    assert [found[place]["person"] for place in range(3)] == [p.parent.name for p in photos]
    status, said, _ = facever(*search, "--face", "all")
    assert f"'{tmp_path}/group.png, face 1 at " in said
    status, _, warned = facever(*search, "--face", "only")
    assert status == 2
    assert "faces found, but only one is allowed" in warned
