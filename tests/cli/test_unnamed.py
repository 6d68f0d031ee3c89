"""Images without identity through the command line: embedded and searched for, never measured."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.gallery.gallery import Gallery
from facever.models.embedder import Embedder, ModelConfig
from facever.models.saving import save_embedder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    embedder = Embedder(ModelConfig(backbone="test_resnet", embedding_size=8))
    save_embedder(embedder.eval(), path, metric="cosine")
    return path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    (tmp_path / "flat").mkdir()
    for i in range(4):
        pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "flat" / f"{i}.png"), pixels)
    return tmp_path / "flat"


def embedded(facever, model: object, images: Path, *options: object) -> EmbeddingSet:
    out = images.with_name(f"{images.stem}-embedded")
    words = ("embed", model, images, "--out", out, "--workers", 0, "--json", *options)
    status, said, told = facever(*words)
    assert status == 0, told
    faces = EmbeddingSet.load(out)
    assert json.loads(said)["without_identity"] == int((~faces.named).sum())
    return faces


def test_a_folder_of_images(facever, model: Path, flat: Path):
    faces = embedded(facever, model, flat)
    assert faces.rows["path"].tolist() == [f"{i}.png" for i in range(4)]
    assert faces.rows["identity"].isna().all()
    status, said, _ = facever("data", "inspect", flat)
    assert status == 0
    assert "identities" in said
    assert "none (4 images without)" in said


def test_what_a_person_reads_of_the_embeddings(facever, model: Path, flat: Path):
    out = flat.with_name("out")
    status, said, _ = facever("embed", model, flat, "--out", out, "--workers", 0)
    assert status == 0
    assert "4 without identity" in said
    assert "gallery search GALLERY --embeddings" in said


def test_a_table_of_paths_gives_the_vectors_of_the_folder(facever, model: Path, flat: Path):
    table = flat.with_name("paths.csv")
    pd.DataFrame({"path": [f"flat/{i}.png" for i in range(4)]}).to_csv(table, index=False)
    folder, listed = embedded(facever, model, flat), embedded(facever, model, table)
    assert np.array_equal(folder.vectors, listed.vectors)
    assert not listed.named.any()


@pytest.mark.parametrize("question", ["verification", "retrieval", "identification", "calibration"])
def test_an_evaluation_names_the_rows(facever, model: Path, flat: Path, question: str):
    table = flat.with_name("mixed.csv")
    frame = pd.DataFrame({"path": [f"flat/{i}.png" for i in range(4)]})
    frame.assign(identity=["ada", None, "ada", " "]).to_csv(table, index=False)
    faces = embedded(facever, model, table)
    assert faces.named.tolist() == [True, False, True, False]
    folder = table.with_name("mixed-embedded")
    sets = [folder] * (2 if question == "identification" else 1)
    status, _, said = facever("evaluate", question, *sets)
    assert (status, said.count("\n")) == (2, 1)
    assert "2 of 4 rows have no identity: row 1 (flat/1.png), row 3 (flat/3.png)" in said
    assert "select(faces.named)" in said


def test_a_gallery_searches_for_them_and_enrolls_them_by_name_only(facever, model, flat: Path):
    from facever.models.loading import load_model

    gallery, faces = flat.with_name("gallery"), flat.with_name("flat-embedded")
    embedded(facever, model, flat)
    Gallery.create(gallery, load_model(model)).close()
    for words in ([faces], [flat, "--model", model]):
        status, _, said = facever("gallery", "enroll", gallery, *words)
        assert (status, said.count("\n")) == (2, 1)
        assert "4 of 4" in said
        assert "0.png" in said
        assert "--person ID" in said
    assert facever("gallery", "enroll", gallery, faces, "--person", "ada")[0] == 0
    status, said, _ = facever("gallery", "search", gallery, "--embeddings", faces, "--json")
    assert status == 0
    assert said.count('"ada"') == 4
    for nobody in ("None", "nan", "unknown"):
        assert f'"{nobody}"' not in said


def test_an_enrolment_looks_at_its_images_before_the_model(facever, model: Path, flat: Path):
    from facever.models.loading import load_model

    gallery = flat.with_name("gallery")
    Gallery.create(gallery, load_model(model)).close()
    words = ("gallery", "enroll", gallery, flat / "gone", "--model", flat / "no-model")
    status, _, said = facever(*words)
    assert (status, said.count("\n")) == (2, 1)
    assert f"no data '{flat / 'gone'}'" in said


@pytest.mark.real
@pytest.mark.parametrize("source", ["lfw/images", "market1501/train"])
def test_faces_and_people_seen_by_cameras(facever, model: Path, tmp_path: Path, source: str):
    folder = Path(os.environ.get("FACEVER_DATA", "none")) / source
    found = sorted(folder.rglob("*.jpg"))[:6]
    if not found:
        pytest.skip(f"no images in FACEVER_DATA/{source}")
    (tmp_path / "images").mkdir()
    for image in found:
        shutil.copy(image, tmp_path / "images")
    faces = embedded(facever, model, tmp_path / "images", "--layout", "images")
    assert not faces.named.any()
    frame = pd.DataFrame({"path": [f"images/{path.name}" for path in found], "identity": "x"})
    frame.to_csv(tmp_path / "named.csv", index=False)
    named = embedded(facever, model, tmp_path / "named.csv")
    assert np.array_equal(faces.vectors, named.vectors)
