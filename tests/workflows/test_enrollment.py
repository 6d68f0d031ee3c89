from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.embedding.extractor import Extractor, load_model
from facever.errors import DataError, FaceverError, GalleryError
from facever.evaluation.operating_point import OperatingPoint
from facever.gallery.gallery import Gallery
from facever.models.embedder import Embedder, ModelConfig
from facever.models.saving import save_embedder
from facever.vectors.embedding_set import EmbeddingSet
from facever.workflows.enrollment import (
    create_gallery,
    embeddings_of,
    enroll_images,
    gallerys_extractor,
    manifest_of,
    run_operating_point,
    search_images,
    verify_image,
    verify_pair,
)


def save_model(path: Path, seed: int, metric: str = "cosine") -> Path:
    torch.manual_seed(seed)
    preprocessing = Preprocessing(size=(32, 32))
    embedder = Embedder(
        ModelConfig(backbone="test_resnet", embedding_size=16, preprocessing=preprocessing)
    )
    save_embedder(embedder.eval(), path, metric=metric)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two untrained models."""
    folder = tmp_path_factory.mktemp("models")
    return [save_model(folder / f"{seed}.safetensors", seed) for seed in range(2)]


@pytest.fixture(scope="module")
def model(models: list[Path]) -> Extractor:
    return load_model(models[0])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with three images each, and a broken one."""
    root, random = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for person in "abcd":
        (root / person).mkdir()
        pattern = random.integers(0, 255, (4, 4, 3))
        for shot in range(3):
            small = np.clip(pattern + random.normal(0, 20, pattern.shape), 0, 255)
            image = cv2.resize(small.astype(np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(root / person / f"{shot}.png"), image)
    (root / "a" / "broken.jpg").write_text("no image")
    return root


@pytest.fixture
def gallery(model: Extractor, tmp_path: Path):
    with create_gallery(tmp_path / "gallery", model) as made:
        yield made


def point(extractor: Extractor, **changes: object) -> OperatingPoint:
    values: dict[str, object] = {
        "threshold": 0.99,
        "target_rate": 1e-2,
        "achieved_rate": 1e-2,
        "trials": {"genuine": 10, "impostor": 1000},
        "fingerprint": extractor.fingerprint,
    }
    return OperatingPoint.model_validate({**values, **changes})


def test_from_images_to_answers(gallery: Gallery, model: Extractor, people: Path) -> None:
    done = enroll_images(gallery, model, manifest_of([str(people)], None))
    assert (done.images, done.new_people, done.duplicates) == (12, 4, [])
    assert [source for source, _ in done.failed] == [str(people / "a" / "broken.jpg")]
    again = enroll_images(gallery, model, manifest_of([str(people)], None))
    assert (again.images, len(again.duplicates)) == (0, 12)

    probes = [people / "b" / "1.png", people / "d" / "0.png"]
    found = search_images(gallery, model, probes, k=2)
    assert [answer.candidates[0].person for answer in found] == ["b", "d"]
    assert [answer.candidates[0].score for answer in found] == pytest.approx([1, 1], abs=1e-5)

    same = verify_image(gallery, model, "b", probes[0], point(model))
    other = verify_image(gallery, model, "b", probes[1], point(model, threshold=0.99999))
    assert (same.same, other.same) == ([True], [False])


def test_duplicates_are_known_by_their_bytes(
    gallery: Gallery, model: Extractor, people: Path, tmp_path: Path
) -> None:
    enroll_images(gallery, model, manifest_of([str(people / "a" / "0.png")], "ann"))
    copy = tmp_path / "copy.png"
    copy.write_bytes((people / "a" / "0.png").read_bytes())
    done = enroll_images(gallery, model, manifest_of([str(copy)], "bea"))
    assert [(d.person, d.known_as) for d in done.duplicates] == [("bea", "ann")]
    copy.write_bytes((people / "a" / "1.png").read_bytes())
    assert enroll_images(gallery, model, manifest_of([str(copy)], "bea")).images == 1


def test_images_of_an_array_file(gallery: Gallery, model: Extractor, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    np.save(tmp_path / "faces.npy", pixels)
    frame = pd.DataFrame({"path": [f"faces.npy#{i}" for i in range(3)], "identity": list("abc")})
    done = enroll_images(gallery, model, Manifest.from_frame(frame, tmp_path, "faces"))
    assert [(d.person, d.known_as) for d in done.duplicates] == [("c", "a")]


def test_when_no_image_can_be_read_nothing_is_enrolled(
    gallery: Gallery, model: Extractor, people: Path
) -> None:
    broken = str(people / "a" / "broken.jpg")
    with pytest.raises(DataError, match="not one of 1 images could be read"):
        enroll_images(gallery, model, manifest_of([broken], "a"))
    with pytest.raises(DataError, match=r"broken\.jpg"):
        search_images(gallery, model, [broken])
    assert gallery.info().people == 0


def test_whom_images_show(people: Path, tmp_path: Path) -> None:
    one = str(people / "a" / "0.png")
    assert manifest_of([one, str(people / "b")], "x").frame["identity"].tolist() == ["x"] * 4
    table = tmp_path / "table.csv"
    table.write_text(f"path,identity\n{one},ann\n")
    assert manifest_of([str(table)], None).identities == ["ann"]
    (tmp_path / "empty").mkdir()
    for given, person, message in (
        ([one], None, "whom does .*0.png show"),
        ([str(people), str(people)], None, "--person ID"),
        ([str(tmp_path / "nothing.png")], "x", "no such path"),
        ([str(tmp_path / "nothing")], None, "no data"),
        ([str(tmp_path / "empty")], "x", "no images in"),
    ):
        with pytest.raises(DataError, match=message):
            manifest_of(given, person)


def test_a_gallery_bound_to_an_embedding_set(
    model: Extractor, people: Path, models: list[Path], tmp_path: Path
) -> None:
    flipped = load_model(models[0], flip=True)
    faces = flipped.extract(manifest_of([str(people)], None), tmp_path / "faces", workers=0)
    with create_gallery(tmp_path / "gallery", embeddings_of([str(tmp_path / "faces")])) as gallery:
        assert gallery.enroll(faces).images == 12
        # the gallery's options are used, without anybody repeating them
        assert gallerys_extractor(gallery, models[0]).fingerprint == flipped.fingerprint
        probe = people / "c" / "2.png"
        assert search_images(gallery, flipped, [probe], 1)[0].candidates[0].person == "c"
        for wrong in (model, load_model(models[1], flip=True)):
            for ask in (
                lambda wrong=wrong: search_images(gallery, wrong, [probe]),
                lambda wrong=wrong: verify_image(gallery, wrong, "c", probe),
                lambda wrong=wrong: enroll_images(gallery, wrong, manifest_of([str(people)], None)),
            ):
                with pytest.raises(GalleryError) as refusal:
                    ask()
                assert wrong.fingerprint in str(refusal.value)
                assert gallery.fingerprint in str(refusal.value)
    with pytest.raises(GalleryError, match="nobody declared"):
        create_gallery(tmp_path / "other", EmbeddingSet.from_arrays([[1, 0]], ["a"]))
    with pytest.raises(
        DataError, match="is not an embedding set; images are enrolled with --model"
    ):
        embeddings_of([str(people)])
    with pytest.raises(DataError, match="no such path"):
        embeddings_of([str(people / "nowhere")])


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_a_pair_is_scored_as_the_operating_point_says(
    people: Path, tmp_path: Path, metric: str
) -> None:
    model = load_model(save_model(tmp_path / "m.safetensors", 5, metric))
    a, b = people / "a" / "0.png", people / "b" / "0.png"
    raw = [model._embed([path])[0].astype(float) for path in (a, b)]
    expected = {
        "cosine": raw[0] @ raw[1] / np.linalg.norm(raw[0]) / np.linalg.norm(raw[1]),
        "dot": raw[0] @ raw[1],
        "euclidean": -np.sum((raw[0] - raw[1]) ** 2),
    }
    undecided = verify_pair(model, a, b)
    assert undecided.score == pytest.approx(expected[metric], rel=1e-4)
    assert (undecided.same, undecided.similarity) == (None, metric)
    for similarity, score in expected.items():
        for threshold, same in ((score - 0.01, True), (score + 0.01, False)):
            given = point(model, similarity=similarity, threshold=threshold)
            decided = verify_pair(model, a, b, given)
            assert decided.score == pytest.approx(score, rel=1e-4)
            assert decided.same is same


def test_a_pair_is_not_decided_by_what_does_not_fit(model: Extractor, people: Path) -> None:
    pair = people / "a" / "0.png", people / "a" / "1.png"
    with pytest.raises(GalleryError) as refusal:
        verify_pair(model, *pair, point(model, fingerprint="other"))
    assert "other" in str(refusal.value)
    assert model.fingerprint in str(refusal.value)
    for kind in ({"kind": "1:1-template"}, {"kind": "1:N", "score_rule": "max", "gallery_size": 3}):
        with pytest.raises(GalleryError, match="does not decide between two images"):
            verify_pair(model, *pair, point(model, **kind))
    with pytest.raises(FaceverError, match=r"broken\.jpg"):
        verify_pair(model, pair[0], people / "a" / "broken.jpg", point(model))


def test_the_operating_point_of_a_run(model: Extractor, tmp_path: Path) -> None:
    assert run_operating_point(tmp_path) is None
    given = point(model)
    given.save(tmp_path / "operating_point.json")
    assert run_operating_point(tmp_path) == given
