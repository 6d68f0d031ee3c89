"""One `load_model` for every kind of model."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import facever
from facever.catalogue import entry, path_of
from facever.errors import ModelError
from facever.models.extractor import Extractor
from facever.models.onnx.adding import add_model
from facever.models.onnx.model import OnnxModel


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the user."""
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    """Smooth images of noise, 112 x 112, in folders of people."""
    random = np.random.default_rng(0)
    paths = [tmp_path / "crops" / f"p{i // 2}" / f"{i}.png" for i in range(4)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, (112, 112)))
    return paths


def reference(crops: list[Path]) -> np.ndarray:
    """SFace in onnxruntime alone, from its published file: RGB, 0 to 255."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        str(path_of("sface")), options, providers=["CPUExecutionProvider"]
    )
    idle = {
        one.name: np.zeros(one.shape, np.float32)
        for one in session.get_inputs()
        if one.name != "data"  # no node reads them
    }
    rows = []
    for path in crops:
        rgb = cv2.imread(str(path))[..., ::-1].astype(np.float32)
        given = {"data": rgb.transpose(2, 0, 1)[None].copy(), **idle}
        rows.append(session.run(None, given)[0][0])
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.usefixtures("real_models")
def test_sface_by_name_by_file_and_added(
    cache: Path, crops: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = facever.load_model("sface")
    assert "onnxruntime" not in capfd.readouterr().err  # its warnings for the original
    assert isinstance(model, OnnxModel)
    assert (model.dimension, model.alignment, model.metric) == (128, "arcface-112", "cosine")
    np.testing.assert_allclose(model.embed(crops, photos=False), reference(crops), atol=2e-5)
    copy = cache / "onnx" / f"{entry('sface').sha256}.onnx"
    before = copy.stat().st_mtime_ns
    assert facever.load_model(path_of("sface")).fingerprint == model.fingerprint
    assert copy.stat().st_mtime_ns == before
    added = add_model(path_of("sface"), tmp_path / "mine.onnx", like="sface")
    assert added.fingerprint == model.fingerprint
    crops_only = add_model(path_of("sface"), tmp_path / "x.onnx", alignment="none")
    assert crops_only.fingerprint != model.fingerprint
    copy.write_bytes(copy.read_bytes()[:-1000])
    assert facever.load_model("sface").fingerprint == model.fingerprint
    assert "building it again" in capfd.readouterr().err
    assert copy.stat().st_mtime_ns != before


@pytest.mark.usefixtures("real_models")
def test_no_torch_and_no_onnx_for_a_model_that_is_there(
    cache: Path, crops: list[Path], tmp_path: Path
) -> None:
    facever.load_model("sface")
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "timm", "onnx"):
            raise ImportError(name + " is wanted")
sys.meta_path.insert(0, Refuse())
import facever
model = facever.load_model("sface")
assert "pandas" not in sys.modules, "pandas"
images = {[str(path) for path in crops]!r}
model.embed(images, photos=False)
assert "pandas" not in sys.modules, "pandas"
model.embed_images({str(crops[0].parent.parent)!r}, photos=False)
manifest = facever.Manifest.from_folder({str(crops[0].parent.parent)!r})
model.extract(manifest, {str(tmp_path / "out")!r}, photos=False)
with facever.Gallery.create({str(tmp_path / "gallery")!r}, model) as gallery:
    recognizer = facever.Recognizer(model, gallery, photos=False)
    recognizer.enroll({str(crops[0].parent.parent)!r})
    recognizer.search(images)
    recognizer.verify(*images[:2])
assert not {{"torch", "timm", "onnx"}} & set(sys.modules)
from facever.cli.main import main
sys.argv = ["facever", "gallery", "search", {str(tmp_path / "gallery")!r}, images[0],
    "--model", "sface", "--crops"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("licence Apache-2.0") == 1


def test_a_run_needs_torch_and_says_crops(run: Path) -> None:
    model = facever.load_model(run)
    assert isinstance(model, Extractor)
    assert model.alignment == "none"
    with pytest.warns(DeprecationWarning, match=r"is now facever\.load_model"):
        from facever.models.extractor import load_model
    assert load_model(run).fingerprint == model.fingerprint


@pytest.mark.parametrize("name", ["weights.pth", "folder"])
def test_weights_without_a_network(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix:
        path.write_bytes(b"weights")
    else:
        path.mkdir()
        (path / "backbone.pth").write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"torch\.onnx\.export.*facever models add"):
        facever.load_model(path)


def test_what_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        facever.load_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="no model at"):
        facever.load_model(tmp_path / "missing")
    folder = tmp_path / "x.onnx"
    folder.mkdir()
    with pytest.raises(ModelError, match="not a run folder"):
        facever.load_model(folder)
    with pytest.raises(ModelError, match="'yunet' finds faces"):
        if not path_of("yunet"):
            raise AssertionError
        facever.load_model("yunet")
