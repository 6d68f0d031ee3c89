import errno
import json
import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facever import evaluate
from facever.data.manifest import Manifest
from facever.data.synthesize import synthesize
from facever.deployment.export import export_model
from facever.deployment.exported import Exported
from facever.deployment.graph import DeployedNetwork
from facever.deployment.program import onnx_program
from facever.deployment.trials import Check
from facever.embeddings.distances import distances_of
from facever.errors import ConfigError, DataError, ModelError
from facever.models.loading import load_model
from facever.models.onnx.card import KEY
from facever.models.onnx.file import read_onnx
from facever.models.onnx.model import OnnxModel, fitting
from facever.operating_point import OperatingPoint
from facever.pair_verification import verify_pair
from tests.deployment.conftest import PEOPLE, SIZE, small_embedder

Files = tuple[Path, Exported]


@pytest.fixture(scope="module")
def fp32(run: Path, faces: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    out = tmp_path_factory.mktemp("fp32") / "m.onnx"
    return out, export_model(
        run, out, check_images=faces.root, licence="CC0", check=Check(faces.root, [0.1])
    )


@pytest.fixture
def some(faces: Manifest) -> list[str]:
    return [faces.locate(row) for row in range(0, len(faces), 3)]


def test_the_file_alone_is_the_model(run: Path, fp32: Files, some: list[str]) -> None:
    path, made = fp32
    model, original = load_model(path), load_model(run)
    assert distances_of(original.embed(some), model.embed(some)).largest < 1e-9
    assert model.fingerprint == made.fingerprint != original.fingerprint == made.original
    assert (model.dimension, model.metric, model.alignment) == (8, "cosine", "none")
    assert isinstance(model, OnnxModel)
    assert model.verified
    card = model.card
    assert (card.size, card.layout, card.color, card.licence) == (SIZE, "NHWC", "rgb", "CC0")
    assert card.export is not None
    assert card.export.fingerprint == original.fingerprint
    assert card.export.config["backbone"] == "test_resnet"
    assert "torch" in card.export.versions
    assert card.trained_on == "faces (3 people)"


def test_its_operating_point_decides(run: Path, fp32: Files, some: list[str]) -> None:
    path, made = fp32
    model, own = load_model(path), OperatingPoint.load(run / "operating_point.json")
    assert made.operating_points == 1
    assert model.operating_point is not None
    assert model.operating_point.threshold == own.threshold
    assert model.operating_point.fingerprint == model.fingerprint
    result = verify_pair(model, some[0], some[0])
    assert result.same
    assert own.fingerprint is not None
    assert own.fingerprint[:12] in (result.note or "")


def test_the_cost_is_told_and_kept(fp32: Files, faces: Manifest) -> None:
    path, made = fp32
    cost = made.cost
    assert cost.distances.images == len(faces) == 20
    assert 0 <= cost.distances.mean <= cost.distances.largest < 1e-9
    assert str(faces.root) in cost.of
    assert cost.before > 0
    assert cost.after > 0
    text = made.to_text()
    for said in ("largest", "images per second", cost.machine, "1, 3, 17", "TAR at FAR"):
        assert said in text
    kept = json.loads(read_onnx(path).metadata[KEY])["export"]
    assert kept["cost"] == cost.to_dict()
    assert made.check is not None
    assert kept["check"]["operating_points"] == made.check.to_dict()["operating_points"]
    assert made.check.trials.genuine == 5 * 6
    assert json.loads(json.dumps(made.to_dict()))["same_space"] is True


def test_people_are_codes_and_overlap_is_told(fp32: Files, faces: Manifest) -> None:
    path, _ = fp32
    ada, jose, eve = PEOPLE
    for name in PEOPLE:
        assert name.encode() not in path.read_bytes()
    vectors = load_model(path).embed_images(faces)
    named = [ada, unicodedata.normalize("NFD", jose), eve, "Bob", "Bea"]
    rows = vectors.rows.assign(identity=np.repeat(named, 4))
    result = evaluate.verification(replace(vectors, rows=rows), far=[0.1])
    assert result.overlap.identities == [ada, jose]
    assert result.overlap.datasets == ["faces"]
    assert result.overlap.chosen_on == [eve]


@pytest.mark.parametrize(("people", "word"), [("counts", "faces (3 people)"), ("none", "")])
def test_fewer_words_on_people(
    people: str, word: str, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(backbone="tests.deployment.backbones:Plain")
    made = export_model(run, tmp_path / "m.onnx", people=people)  # type: ignore[arg-type]
    model = load_model(tmp_path / "m.onnx")
    assert model.trained_on is None
    assert made.trained_on == word
    assert "generated faces" in made.cost.of


def test_the_runs_own_development_people(
    make_run: Callable[..., Path], faces: Manifest, tmp_path: Path
) -> None:
    run = make_run(backbone="tests.deployment.backbones:Plain")
    (run / "config.yaml").write_text(f"data: {{root: {faces.root}}}\n")
    made = export_model(run, tmp_path / "m.onnx")
    assert "the run's own images" in made.cost.of
    assert made.cost.distances.images == 20


def test_every_part_of_a_preprocessing_outside(
    make_run: Callable[..., Path], tmp_path: Path, some: list[str]
) -> None:
    run = make_run(
        backbone="tests.deployment.backbones:Plain",
        alignment="arcface-112",
        preprocessing={
            "size": list(SIZE),
            "crop": 0.7,
            "color": "bgr",
            "interpolation": "bicubic",
            "mean": [0.1, 0.5, 0.6],
            "std": [0.2, 0.3, 0.4],
        },
    )
    made = export_model(run, tmp_path / "m.onnx", preprocessing="outside")
    original, model = load_model(run), load_model(tmp_path / "m.onnx")
    found = distances_of(original.features(some, photos=False), model.features(some, photos=False))
    assert found.largest < 1e-9
    assert found.lengths is not None
    assert found.lengths < 1e-4
    assert made.cost.distances.lengths is not None
    assert model.alignment == "arcface-112"
    assert isinstance(model, OnnxModel)
    assert (model.card.layout, model.card.color, model.card.crop) == ("NCHW", "bgr", 0.7)


def test_flip_is_in_the_file(
    make_run: Callable[..., Path], tmp_path: Path, some: list[str]
) -> None:
    run = make_run(backbone="tests.deployment.backbones:Plain")
    made = export_model(run, tmp_path / "m.onnx", flip=True)
    original = load_model(run, flip=True)
    plain, asked = (load_model(tmp_path / "m.onnx", flip=flip) for flip in (False, True))
    assert plain.fingerprint == asked.fingerprint == made.fingerprint
    assert plain.options["flip"] is asked.options["flip"] is True
    for model in (plain, asked):
        assert distances_of(original.embed(some), model.embed(some)).largest < 1e-9
    assert made.original == original.fingerprint
    assert made.operating_points == 0  # the run's was measured without flip
    assert any("operating point" in warning for warning in made.warnings)


def test_fp16_is_another_space(
    make_run: Callable[..., Path], tmp_path: Path, faces: Manifest
) -> None:
    run = make_run()
    made = export_model(run, tmp_path / "m.onnx", precision="fp16", check_images=faces.root)
    assert not made.same_space
    assert made.operating_points == 0
    assert 1e-9 < made.cost.distances.largest < 1e-2
    model = load_model(tmp_path / "m.onnx")
    assert isinstance(model, OnnxModel)
    assert model.card.precision == "fp16"
    assert "migrate" in made.to_text()


def test_int8_is_another_space_and_says_which_layers_stayed(
    run: Path, tmp_path: Path, faces: Manifest, many: Path
) -> None:
    made = export_model(
        run, tmp_path / "m.onnx", precision="int8", calibrate=many, check_images=faces.root
    )
    assert not made.same_space
    assert made.operating_points == 0
    assert 1e-9 < made.cost.distances.largest < 0.1
    assert "float layers" in made.to_text()
    model = load_model(tmp_path / "m.onnx")
    assert isinstance(model, OnnxModel)
    assert model.card.precision == model.options["precision"] == "int8"
    assert model.card.quantization["calibrated"] >= 24
    assert model.card.export is not None
    assert model.card.export.cost["distances"]["images"] == len(faces)
    with pytest.raises(ConfigError, match="ONNX"):
        export_model(tmp_path / "m.onnx", tmp_path / "n.onnx")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Forty generated images."""
    synthesize(tmp_path / "many", 10, 4)
    return tmp_path / "many"


@pytest.mark.parametrize("case", ["too few", "too small"])
def test_images_that_cannot_calibrate(
    case: str, run: Path, tmp_path: Path, faces: Manifest
) -> None:
    images = faces.root
    if case == "too small":
        images = tmp_path / "small"
        synthesize(images, 10, 4, size=16)
    words = {"too few": "20 different", "too small": "16 x 16"}
    with pytest.raises(DataError, match=words[case]):
        export_model(run, tmp_path / "m.onnx", precision="int8", calibrate=images)
    assert not (tmp_path / "m.onnx").exists()


def test_int8_of_a_model_that_was_onnx(fp32: Files, tmp_path: Path, many: Path) -> None:
    made = export_model(fp32[0], tmp_path / "m.onnx", precision="int8", calibrate=many)
    assert made.original == fp32[1].fingerprint
    assert made.original_engine == "onnxruntime"
    assert made.preprocessing == "inside"
    assert load_model(tmp_path / "m.onnx").trained_on is not None


def test_by_openvino(run: Path, fp32: Files, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    made = export_model(run, tmp_path / "m.onnx", engine="openvino")
    assert made.cost.engine.startswith("openvino")
    assert made.cost.distances.largest < 1e-9
    body, other = (read_onnx(path).body_sha256 for path in (fp32[0], tmp_path / "m.onnx"))
    assert body == other
    assert made.fingerprint != fp32[1].fingerprint


def test_other_vectors_are_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(network: DeployedNetwork, backbone: str) -> bytes:
        wrong = small_embedder(preprocessing={"size": list(SIZE)})  # another mean
        return onnx_program(DeployedNetwork(wrong, "inside", "NHWC", False).eval(), backbone)

    monkeypatch.setattr("facever.deployment.origin.onnx_program", another)
    with pytest.raises(ModelError, match="cosine distance") as error:
        export_model(run, tmp_path / "m.onnx")
    assert "nothing was written" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_network_that_mixes_a_batch(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(backbone="tests.deployment.backbones:Mixing")
    with pytest.raises(ModelError, match="batch of 3"):
        export_model(run, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_old_file(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = make_run(backbone="tests.deployment.backbones:Plain"), tmp_path / "m.onnx"
    out.write_bytes(b"old")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.endswith("m.onnx"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export_model(run, out, overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["m.onnx"]
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"precision": "fp8"}, ["fp8", "fp16", "int8"]),
        ({"preprocessing": "beside"}, ["beside", "inside", "outside"]),
        ({"layout": "HWC"}, ["HWC", "NCHW"]),
        ({"people": "names"}, ["names", "codes"]),
        ({"precision": "int8"}, ["--calibrate DATA"]),
        ({"calibrate": "faces"}, ["--precision int8"]),
    ],
)
def test_wrong_options(values: dict, words: list[str], run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        export_model(run, tmp_path / "m.onnx", **values)
    assert all(word in str(error.value) for word in words)


def test_a_name_that_is_taken_or_wrong(run: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(ConfigError, match="--overwrite"):
        export_model(run, tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match=r"NAME\.onnx"):
        export_model(run, tmp_path / "m.bin")


def test_a_model_that_cannot_be_exported(fp32: Files, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("epochs: 1\n")
    with pytest.raises(ModelError, match="has not finished"):
        export_model(tmp_path / "run", tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="no model at"):
        export_model(tmp_path / "nowhere", tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="int8"):
        export_model(fp32[0], tmp_path / "m.onnx")


def test_data_that_is_not_there(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        export_model(run, tmp_path / "m.onnx", check_images="nowhere")
    assert not list(tmp_path.iterdir())


def test_images_or_a_card_of_another_size(fp32: Files) -> None:
    model = load_model(fp32[0])
    assert isinstance(model, OnnxModel)
    with pytest.raises(ModelError, match="fails on images"):
        model.embed_pixels(np.zeros((1, 16, 16, 3), np.uint8))
    file = read_onnx(fp32[0])
    with pytest.raises(ModelError, match="16 x 16"):
        fitting(model._engine, replace(model.card, size=(16, 16)), file)


def test_a_changed_file(fp32: Files, tmp_path: Path) -> None:
    content = bytearray(fp32[0].read_bytes())
    content[len(content) // 3] ^= 1
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx"):
        load_model(tmp_path / "m.onnx")
