import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facever.cli.main import main
from facever.config import parse
from facever.embedding.extractor import load_model
from facever.evaluation.operating_point import OperatingPoint
from facever.models import Embedder, ModelConfig, save_embedder
from facever.vectors.embedding_set import EmbeddingSet


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two untrained models."""
    folder, paths = tmp_path_factory.mktemp("models"), []
    config = {"backbone": "test_resnet", "embedding_size": 8, "preprocessing": {"size": 32}}
    for seed in range(2):
        torch.manual_seed(seed)
        paths.append(folder / f"{seed}.safetensors")
        save_embedder(Embedder(parse(ModelConfig, config)), paths[-1], metric="cosine")
    return paths


@pytest.fixture(scope="module")
def model(models: list[Path]) -> Path:
    return models[0]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with two images each, one more unreadable."""
    root, draw = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    for i in range(6):
        path = root / "abc"[i // 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), draw.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    (root / "c" / "6.png").write_text("no image")
    return root


@pytest.fixture
def facever(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line; return (status, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["facever", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            main()
        said = capsys.readouterr()
        return int(leaving.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def gallery(facever, model: Path, people: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "gallery"
    assert facever("gallery", "create", folder, "--model", model)[0] == 0
    status, said, warned = facever("gallery", "enroll", folder, people, "--model", model)
    assert (status, warned) == (0, f"warning: not enrolled: {people}/c/6.png: {_reason(warned)}")
    assert said == f"enrolled: 6 images, 3 new people\ngallery:  6 images of 3 people in {folder}\n"
    return folder


def _reason(warned: str) -> str:
    return warned.split("6.png: ", 1)[1]


def save_point(path: Path, model: Path, threshold: float, **changes: object) -> Path:
    values = {
        "threshold": threshold,
        "target_rate": 1e-3,
        "achieved_rate": 1e-3,
        "trials": {"genuine": 10, "impostor": 1000},
        "fingerprint": load_model(model).fingerprint,
        "dataset": "toy",
    }
    OperatingPoint.model_validate({**values, **changes}).save(path)
    return path


def test_info(facever, gallery: Path) -> None:
    status, said, _ = facever("gallery", "info", gallery)
    assert status == 0
    assert "people:           3\nimages:           6\n" in said
    told = json.loads(facever("gallery", "info", gallery, "--json")[1])
    assert (told["people"], told["images"], told["dimension"]) == (3, 6, 8)


def test_search_for_images(facever, gallery: Path, model: Path, people: Path) -> None:
    probes = [people / "a" / "0.png", people / "c" / "4.png"]
    words = ("gallery", "search", gallery, *probes, "--model", model, "-k", 2)
    status, said, noted = facever(*words)
    assert (status, noted) == (0, "scores only: there is no 1:N operating point to decide by\n")
    assert f"'{probes[0]}'\n  score   person\n  ------  ------\n  1.0000  'a'\n" in said
    told = json.loads(facever(*words, "--json")[1])
    assert [answer["candidates"][0]["person"] for answer in told["answers"]] == ["a", "c"]
    assert [answer["probe"] for answer in told["answers"]] == [str(probe) for probe in probes]


def test_search_decides_by_a_one_to_many_point(
    facever, gallery: Path, model: Path, people: Path, tmp_path: Path
) -> None:
    many = {"kind": "1:N", "score_rule": "max", "gallery_size": 3}
    words = ("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    for threshold, decided in ((0.9999, "'a'"), (1.5, "unknown")):
        file = save_point(tmp_path / "many.json", model, threshold, **many)
        status, said, _ = facever(*words, "--operating-point", file)
        assert status == 0
        assert said.splitlines()[0].endswith(f"0.png': {decided}")
    file = save_point(tmp_path / "one.json", model, 0.5)
    _, said, noted = facever(*words, "--operating-point", file)
    assert said.splitlines()[0].endswith("0.png'")
    assert "does not decide a search; at its FMR of 0.001 about 0.003 of strangers" in noted


def test_embeddings_in_and_out(facever, gallery, model, people, tmp_path: Path) -> None:
    made = load_model(model, flip=True)
    embedded = tmp_path / "faces"
    assert facever("embed", model, people, "--out", embedded, "--flip", "--workers", 0)[0] == 0
    folder = tmp_path / "flipped"
    assert facever("gallery", "create", folder, "--from-embeddings", embedded)[0] == 0
    status, said, _ = facever("gallery", "enroll", folder, embedded, "--json")
    told = json.loads(said)
    assert (status, told["images"], told["total"]) == (0, 6, {"people": 3, "images": 6})
    status, said, _ = facever("gallery", "search", folder, "--embeddings", embedded, "-k", 1)
    assert status == 0
    assert "'c/6.png'\n  no vector: " in said
    # an image is embedded with the gallery's own options
    probe = people / "b" / "2.png"
    told = json.loads(facever("gallery", "search", folder, probe, "--model", model, "--json")[1])
    assert told["answers"][0]["candidates"][0]["score"] == pytest.approx(1, abs=1e-5)
    status, _, refused = facever("gallery", "enroll", gallery, embedded)
    assert status == 2
    assert made.fingerprint in refused
    assert load_model(model).fingerprint in refused


def test_one_person(facever, gallery: Path, model: Path, people: Path) -> None:
    words = ("gallery", "enroll", gallery, people / "a" / "0.png", "--model", model)
    status, said, noted = facever(*words, "--person", "ann", "--metadata", "team=red")
    assert (status, said.splitlines()[0]) == (0, "enrolled: 0 images, 0 new people")
    assert noted == f"warning: there already: '{people}/a/0.png', as 'a'\n"
    keep = (*words, "--person", "a\x1b[31m<b>", "--metadata", "team=red", "--duplicates", "keep")
    assert facever(*keep)[0] == 0
    _, said, _ = facever("gallery", "search", gallery, people / "a" / "0.png", "--model", model)
    assert r"'a\x1b[31m<b>'" in said  # never the terminal's own commands


def test_verify_exit_status(facever, gallery, model, people, tmp_path: Path) -> None:
    words = ("gallery", "verify", gallery, "a", people / "a" / "1.png", "--model", model)
    status, said, noted = facever(*words)
    assert (status, said) == (2, "score:    1.0000 (best of 2 images)\n")
    assert noted == "scores only: there is no 1:1 operating point to decide by\n"
    for threshold, expected, decided in ((0.9999, 0, "'a'"), (1.5, 1, "not 'a'")):
        file = save_point(tmp_path / "one.json", model, threshold)
        status, said, _ = facever(*words, "--operating-point", file)
        assert status == expected
        assert f"decision: {decided}\nby:       score > {threshold:.4f}, set for FMR" in said
    told = json.loads(facever(*words, "--operating-point", file, "--json")[1])
    assert (told["same"], told["person"]) == ([False], "a")


def test_threshold_keeps_operating_points(facever, gallery, model, people, tmp_path: Path) -> None:
    assert facever("gallery", "threshold", gallery)[1].startswith("no operating points")
    file = save_point(tmp_path / "strict.json", model, 0.9999)
    status, said, _ = facever("gallery", "threshold", gallery, file)
    assert (status, said) == (
        0,
        "'strict': 1:1-image, score > 0.9999, set for FMR 0.001 on toy (1,000 impostor trials)\n",
    )
    words = ("gallery", "verify", gallery, "a", people / "a" / "1.png", "--model", model)
    assert facever(*words)[0] == 0  # the only one decides unasked
    assert facever(*words, "--operating-point", "strict")[0] == 0
    assert facever(*words, "--operating-point", "stirct")[0] == 2
    assert list(json.loads(facever("gallery", "threshold", gallery, "--json")[1])) == ["strict"]


def test_bad_input_is_one_line_and_status_2(
    facever, gallery: Path, models: list[Path], people: Path, tmp_path: Path
) -> None:
    model, other = models
    image = people / "a" / "0.png"
    vectors = EmbeddingSet.from_arrays([[1.0, 0.0]], ["a"])
    vectors.save(tmp_path / "undeclared")
    for words, message in (
        (("info", tmp_path / "nowhere"), "no gallery at"),
        (("create", gallery, "--model", model), "is there already"),
        (("create", tmp_path / "g"), "either --model or --from-embeddings"),
        (("create", tmp_path / "g", "--model", tmp_path / "no"), str(tmp_path / "no")),
        (("create", tmp_path / "g", "--from-embeddings", tmp_path / "undeclared"), "declared"),
        (("create", tmp_path / "g", "--from-embeddings", people, "--flip"), "leave them away"),
        (("enroll", gallery, people), "is not an embedding set; images are enrolled with --model"),
        (("enroll", gallery, tmp_path / "no", "--model", model), "no data"),
        (("enroll", gallery, image, "--model", model), "--person ID"),
        (("enroll", gallery, image, "--model", model, "--metadata", "a=b"), "with --person"),
        (("enroll", gallery, people, "--model", model, "--duplicates", "x"), "allowed: skip, keep"),
        (("enroll", gallery, people, "--model", other), "use the gallery's model"),
        (("search", gallery), "search for images with --model, or for --embeddings"),
        (("search", gallery, image), "search for images with --model"),
        (("search", gallery, image, "--model", other), "use the gallery's model"),
        (("search", gallery, image, "--model", model, "-k", 0), "from 1 on"),
        (("search", gallery, image, "--model", model, "--rule", "best"), "allowed: max, mean"),
        (("search", gallery, people / "c" / "6.png", "--model", model), "6.png"),
        (("verify", gallery, "z", image, "--model", model), "enrolled as 'z'"),
        (("verify", gallery, "a", tmp_path / "no.png", "--model", model), "no.png"),
        (("verify", gallery, "a", image, "--model", other), "use the gallery's model"),
        (("threshold", gallery, tmp_path / "no.json"), "no operating point at"),
    ):
        status, said, refused = facever("gallery", *words)
        assert (status, said, refused.count("\n")) == (2, "", 1), (words, refused)
        assert refused.startswith("error: ")
        assert message in refused, words
    assert not (tmp_path / "g").exists()
