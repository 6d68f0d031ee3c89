"""Engines of ONNX models: one small network, one answer; other engines are other spaces."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import facever
from facever.errors import ConfigError, GalleryError, ModelError
from facever.models.onnx.adding import add_model
from facever.models.onnx.card import Card
from facever.models.onnx.engine import ENGINES, open_engine
from facever.models.onnx.file import read_onnx

GIVEN = {"mean": 120, "std": 50}


def convolution(model: onnx.ModelProto, blocks: bool = False) -> None:
    """Put a convolution, which OpenVINO may compute in bf16, before the network."""
    random = np.random.default_rng(5)
    values = random.integers(-127, 128, (3, 3, 3, 3), dtype=np.int8)
    scale = random.uniform(0.001, 0.01, 3).astype(np.float32)
    held, nodes = [], []
    if blocks:  # a scale per channel, unpacked by the engine
        held = [numpy_helper.from_array(values, "q"), numpy_helper.from_array(scale, "scale")]
        nodes = [helper.make_node("DequantizeLinear", ["q", "scale"], ["kernel"], axis=0)]
    else:
        kernel = values * scale[:, None, None, None]
        held = [numpy_helper.from_array(kernel.astype(np.float32), "kernel")]
    nodes.append(helper.make_node("Conv", ["pixels", "kernel"], ["mixed"], pads=[1, 1, 1, 1]))
    model.graph.initializer.extend(held)
    model.graph.node[0].input[0] = "mixed"
    before = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *before])


@pytest.fixture
def path(make_onnx: Callable[..., Path], tmp_path: Path) -> Path:
    return add_model(make_onnx(change=convolution), tmp_path / "m.onnx", **GIVEN).path


def has_bf16() -> bool:
    flags = Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"batch": 1},
        {"batch": 4},
        {"layout": "NHWC"},
        {"kind": TensorProto.FLOAT16},
        {"size": ("h", "w")},
        {"listed": True},
    ],
    ids=str,
)
def test_engines_agree(made: dict, make_onnx, images: list[Path], tmp_path: Path) -> None:
    path = add_model(make_onnx(**made), tmp_path / "m.onnx", size=(24, 16), **GIVEN).path
    one, two = (facever.load_model(path, engine=engine) for engine in ENGINES)
    error = 2e-3 if made.get("kind") == TensorProto.FLOAT16 else 1e-5
    np.testing.assert_allclose(two.embed(images), one.embed(images), atol=error)
    assert one.fingerprint != two.fingerprint
    assert [model.options["engine"] for model in (one, two)] == list(ENGINES)
    assert "openvino" in two.versions


def test_levels_and_packed_weights(make_onnx, images: list[Path], tmp_path: Path) -> None:
    levels = add_model(make_onnx(kind=TensorProto.UINT8), tmp_path / "a.onnx", mean=0, std=1)
    packed = make_onnx(change=lambda model: convolution(model, blocks=True), opset=17)
    plain = make_onnx("plain.onnx", change=convolution)
    made = [add_model(one, tmp_path / f"of_{one.name}", **GIVEN).path for one in (packed, plain)]
    for path in (levels.path, made[0]):
        one, two = (facever.load_model(path, engine=engine).embed(images) for engine in ENGINES)
        np.testing.assert_allclose(two, one, atol=1e-5)
    both = [facever.load_model(path, engine="openvino").embed(images) for path in made]
    np.testing.assert_allclose(*both, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_vector_depends_on_its_image_alone(
    engine: str, path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = facever.load_model(path, engine=engine)
    alone = np.concatenate([model.embed(image) for image in images])
    for cores in (1, 3, 17):
        for module in ("model", "openvino_engine"):
            monkeypatch.setattr(f"facever.models.onnx.{module}.usable_cpus", lambda n=cores: n)
        found = facever.load_model(path, engine=engine, batch_size=4).embed(images)
        np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("engine", ENGINES)
def test_many_threads_and_a_batch(engine: str, path: Path) -> None:
    file = read_onnx(path)
    loaded = open_engine(file, "vector", engine)
    assert (loaded.input, loaded.shape, loaded.takes_levels) == ("pixels", [None, 3, 24, 16], False)
    images = np.random.default_rng(2).normal(size=(24, 3, 24, 16)).astype(np.float32)
    wanted = loaded.run(images)
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: loaded.run(images[i : i + 1])}))
        for i in range(len(images))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(np.concatenate([found[i] for i in range(24)]), wanted, atol=1e-5)
    with pytest.raises(ModelError, match=r"m\.onnx fails on images"):
        loaded.run(images[:, :2])


def test_bf16_is_another_space(path: Path, images: list[Path]) -> None:
    if not has_bf16():
        with pytest.raises(ConfigError, match=r"bf16.*processor.*fp32"):
            facever.load_model(path, engine="openvino", precision="bf16")
        return
    exact = facever.load_model(path, engine="openvino")
    half = facever.load_model(path, engine="openvino", precision="bf16")
    assert exact.fingerprint != half.fingerprint
    assert (exact.options["precision"], half.options["precision"]) == ("fp32", "bf16")
    apart = np.abs(exact.embed(images) - half.embed(images)).max()
    assert 1e-6 < apart < 0.05  # the hint is obeyed both times


def test_bf16_without_instructions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    class Old(openvino.Core):
        def get_property(self, *_: object) -> list[str]:
            return ["FP32"]

    monkeypatch.setattr(openvino, "Core", Old)
    with pytest.raises(ConfigError, match=r"bf16.*processor"):
        facever.load_model(path, engine="openvino", precision="bf16")


def test_fingerprints_of_earlier_versions_stay() -> None:
    card = Card(source_sha256="ab" * 32, output="vector", dimension=5)
    known = "c6d1cf07f6380eff"
    found = card.fingerprint(flip=False, precision="fp32")
    assert found == card.fingerprint(flip=False, precision="fp32", engine="onnxruntime")
    assert found.startswith(known)
    others = {
        card.fingerprint(flip=False, precision=precision, engine=engine)
        for precision in ("fp32", "bf16", "int8")
        for engine in ENGINES
    }
    assert len(others) == 6


def test_a_gallery_refuses_another_engine_and_takes_its_own(
    path: Path, images: list[Path], tmp_path: Path
) -> None:
    made_by = facever.load_model(path, engine="openvino")
    with facever.Gallery.create(tmp_path / "gallery", made_by) as gallery:
        facever.Recognizer(made_by, gallery).enroll(images[0].parent.parent)
        own = facever.Recognizer.load(path, gallery)
        assert own.model.fingerprint == made_by.fingerprint
        found = own.search(images[:3], 1)
        assert [one.candidates[0].person for one in found] == ["p0", "p1", "p2"]
        other = facever.load_model(path)
        with pytest.raises(GalleryError, match=f"{other.fingerprint}.*{made_by.fingerprint}"):
            facever.Recognizer(other, gallery).search(images[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "tensorrt"}, "unknown engine 'tensorrt'.*onnxruntime"),
        ({"engine": "torch"}, "engine is 'torch'.*ONNX.*onnxruntime, openvino"),
        ({"precision": "bf16"}, "'bf16'.*fp32.*openvino"),
        ({"precision": "int8"}, "'int8'.*facever export"),
        ({"engine": "openvino", "precision": "fp8"}, "'fp8'.*fp32"),
        ({"engine": "openvino", "device": "cuda"}, "device is 'cuda'.*CPU"),
    ],
)
def test_what_an_engine_does_not_have(options: dict, words: str, path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        facever.load_model(path, **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_is_not_installed(
    engine: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, engine, None)
    extra = {"onnxruntime": "onnx", "openvino": "openvino"}[engine]
    with pytest.raises(ModelError, match=rf"{engine}.*pip install 'facever\[{extra}\]'"):
        facever.load_model(path, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_networks_that_no_engine_takes(engine: str, make_onnx) -> None:
    unknown = make_onnx(last=(("Nonsense", "strange"),), outputs=("strange",))
    with pytest.raises(ModelError, match=f"{engine} .*cannot take .*small.onnx"):
        open_engine(read_onnx(unknown), "strange", engine)
    wide = make_onnx("double.onnx", kind=TensorProto.DOUBLE)
    with pytest.raises(ModelError, match="one input of images, float32, float16 or uint8"):
        open_engine(read_onnx(wide), "vector", engine)


def test_nothing_leaves_the_machine(path: Path, tmp_path: Path) -> None:
    """OpenVINO's package for statistics looks up a host and writes to the home folder."""
    program = (
        "import sys\n"
        "seen = []\n"
        "def hook(event, given):\n"
        "    if event.startswith('socket.') or event == 'subprocess.Popen':\n"
        "        seen.append(event)\n"
        "sys.addaudithook(hook)\n"
        "import numpy as np, facever\n"
        f"model = facever.load_model({str(path)!r}, engine='openvino')\n"
        "model.embed(np.zeros((1, 9, 9, 3), np.uint8) + 7)\n"
        "import threading\n"
        "[one.join(5) for one in threading.enumerate() if one is not threading.current_thread()]\n"
        "sys.exit(repr(seen) if seen or 'openvino_telemetry' in sys.modules else 0)\n"
    )
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(facever.__file__).parent.parent),
    }
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "home").iterdir()) == []


def test_threads_that_are_the_first_of_a_process(path: Path) -> None:
    """OpenVINO's binding prepares itself in the first run: two threads at once wait for ever."""
    program = (
        "import threading, numpy as np\n"
        "from pathlib import Path\n"
        "from facever.models.onnx.engine import open_engine\n"
        "from facever.models.onnx.file import read_onnx\n"
        f"engine = open_engine(read_onnx(Path({str(path)!r})), 'vector', 'openvino')\n"
        "images, together = np.ones((1, 3, 24, 16), np.float32), threading.Barrier(8)\n"
        "def run():\n"
        "    together.wait()\n"
        "    engine.run(images)\n"
        "threads = [threading.Thread(target=run) for _ in range(8)]\n"
        "[one.start() for one in threads]\n"
        "[one.join() for one in threads]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_onnxruntime_writes_nothing_into_the_home_folder(tmp_path: Path, make_onnx) -> None:
    """Its telemetry would write an identifier of the device there."""
    model = add_model(make_onnx(), tmp_path / "model.onnx", mean=120, std=50)
    home = tmp_path / "home"
    home.mkdir()
    code = f"import facever; facever.load_model({str(model.path)!r})"
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_signals_after_models_are_gone(precision: str, path: Path) -> None:
    """OpenVINO gives threads a stack for signals, and frees it with its core."""
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bf16")
    program = (
        "import gc, os, signal, threading, numpy as np, facever\n"
        f"models = [facever.load_model({str(path)!r}, engine='openvino', precision=one)\n"
        f"          for one in ('fp32', {precision!r})]\n"
        "images = np.ones((4, 24, 16, 3), np.uint8)\n"
        "[one.embed_pixels(images) for one in models]\n"
        "models.reverse()\n"  # the first one is freed first
        "models.clear()\n"
        "gc.collect()\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "[os.kill(os.getpid(), signal.SIGUSR1) for _ in range(20)]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=100, capture_output=True)
    assert done.returncode == 0, done.stderr
