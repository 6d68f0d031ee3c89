"""OnnxModel: what every model does with images, by onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

import facever
from facever.data.manifest import Manifest
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import ConfigError, DataError, FaceverError, ModelError
from facever.models.onnx.adding import add_model
from facever.models.onnx.model import OnnxModel

GIVEN = {"mean": 120, "std": 50}


@pytest.fixture
def path(make_onnx, tmp_path: Path) -> Path:
    return add_model(make_onnx(), tmp_path / "m.onnx", **GIVEN).path


def test_a_vector_depends_on_its_image_alone(
    path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = facever.load_model(path)
    alone = np.concatenate([model.embed(image) for image in images])
    np.testing.assert_array_equal(model.embed(images), alone)
    for cores in (1, 3, 17):
        monkeypatch.setattr("facever.models.onnx.model.usable_cpus", lambda n=cores: n)
        np.testing.assert_array_equal(facever.load_model(path, batch_size=4).embed(images), alone)


def test_flip_averages_with_the_mirror_image(make_onnx, images: list[Path], tmp_path: Path) -> None:
    def left_half(model) -> None:  # so that a mirror image is another one
        from onnx import helper, numpy_helper

        mask = np.zeros((1, 1, 1, 16), np.float32)
        mask[..., :8] = 2
        model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
        model.graph.node.insert(0, helper.make_node("Mul", ["pixels", "mask"], ["masked"]))
        model.graph.node[1].input[0] = "masked"

    source = make_onnx(change=left_half)
    path = add_model(source, tmp_path / "half.onnx", **GIVEN).path
    plain, flipped = facever.load_model(path), facever.load_model(path, flip=True)
    assert plain.fingerprint != flipped.fingerprint
    pixels = np.stack([plain.prepare(facever.data.decode.decode(str(one))) for one in images])
    mirrored = plain.embed_pixels(np.ascontiguousarray(pixels[:, :, ::-1]))
    wanted = (plain.embed_pixels(pixels) + mirrored) / 2
    np.testing.assert_allclose(flipped.features(images), wanted, rtol=1e-5, atol=1e-6)
    assert not np.allclose(flipped.features(images), plain.features(images), atol=1e-3)


def test_an_extraction_goes_on_where_it_stopped(
    path: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = images[4]
    broken.write_bytes(b"broken")
    manifest = Manifest.from_folder(images[0].parent.parent)
    model = facever.load_model(path, batch_size=2)
    whole = model.extract(manifest, tmp_path / "whole")
    assert whole.failures == 1
    assert whole.meta.options["engine"] == "onnxruntime"
    assert whole.meta.acquisition == {"images": "crops"}
    original, calls = OnnxModel._raw, []

    def stops(self: OnnxModel, pixels: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) > 6:
            raise KeyboardInterrupt
        return original(self, pixels)

    monkeypatch.setattr("facever.models.onnx.model.usable_cpus", lambda: 1)
    monkeypatch.setattr(OnnxModel, "_raw", stops)
    with pytest.raises(KeyboardInterrupt):
        model.extract(manifest, tmp_path / "parts")
    monkeypatch.setattr(OnnxModel, "_raw", original)
    monkeypatch.setattr("facever.models.onnx.model.usable_cpus", lambda: 3)
    done: list[int] = []
    monkeypatch.setattr(
        OnnxModel, "_raw", lambda self, pixels: done.append(1) or original(self, pixels)
    )
    resumed = model.extract(manifest, tmp_path / "parts")
    assert 0 < len(done) < 10
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.rows["error"].notna().tolist() == whole.rows["error"].notna().tolist()
    assert EmbeddingSet.load(tmp_path / "parts").meta.fingerprint == model.fingerprint


def test_unreadable_images(path: Path, images: list[Path], tmp_path: Path) -> None:
    images[2].write_bytes(b"broken")
    model = facever.load_model(path)
    with pytest.raises(DataError, match=images[2].name):
        model.embed(images)
    made = model.embed_images(Manifest.from_folder(images[0].parent.parent))
    assert made.failures == 1
    with pytest.raises(DataError, match=images[2].name):
        model.extract(made_manifest(images), tmp_path / "out", on_error="raise")


def made_manifest(images: list[Path]) -> Manifest:
    return Manifest.from_folder(images[0].parent.parent)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda"}, "device is 'cuda'.*CPU"),
        ({"precision": "bf16"}, "precision is 'bf16'.*fp32"),
        ({"batch_size": 0}, "batch size 0"),
    ],
)
def test_options_that_it_does_not_have(options: dict, words: str, path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        facever.load_model(path, **options)


def test_two_models_in_one_gallery(
    path: Path, make_onnx, images: list[Path], tmp_path: Path
) -> None:
    other = facever.load_model(
        add_model(make_onnx(), tmp_path / "other.onnx", mean=121, std=50).path
    )
    model = facever.load_model(path)
    with facever.Gallery.create(tmp_path / "gallery", model) as gallery:
        recognizer = facever.Recognizer(model, gallery)
        recognizer.enroll(images[0].parent.parent)
        found = recognizer.search(images[:3], 1)
        assert [one.candidates[0].person for one in found] == ["p0", "p1", "p2"]
        assert [round(one.candidates[0].score, 5) for one in found] == [1.0] * 3
        with pytest.raises(FaceverError, match=other.fingerprint[:8]):
            facever.Recognizer(other, gallery).search(images[0])


def test_a_changed_file_is_refused(path: Path, tmp_path: Path, make_onnx) -> None:
    content = path.read_bytes()
    place = content.index(b"weights", content.index(b"raw") if b"raw" in content else 0)
    damaged = bytearray(content)
    damaged[place + 20] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="damaged"):
        facever.load_model(path)
    with pytest.raises(ModelError, match=r"has no card.*facever models add .*--like insightface"):
        facever.load_model(make_onnx())
