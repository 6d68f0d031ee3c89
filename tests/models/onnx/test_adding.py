"""ONNX files from elsewhere become models: described, repaired, tried."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import facever
from facever.data.decode import decode
from facever.data.preprocessing import Preprocessing
from facever.errors import ConfigError, ModelError
from facever.models.onnx.adding import add_model

GIVEN = {"mean": [120, 110, 100], "std": 50}


def pixels_of(path: Path, color: str = "rgb") -> np.ndarray:
    """float64 [24, 16, 3]: what the network is given of an image."""
    return Preprocessing(size=(24, 16), color=color).apply(decode(path)).astype(np.float64)


def by_hand(images: list[Path], weights: np.ndarray, color: str = "rgb") -> np.ndarray:
    """The small network in NumPy."""
    rows = []
    for path in images:
        pixels = pixels_of(path, color)
        rows.append(((pixels - [120, 110, 100]) / 50).mean(axis=(0, 1)) @ weights)
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"batch": 1},
        {"batch": 4},
        {"layout": "NHWC"},
        {"layout": "NHWC", "batch": 1},
        {"listed": True},
        {"kind": TensorProto.FLOAT16},
        {"size": ("h", "w")},
    ],
    ids=str,
)
def test_files_of_all_kinds_give_the_vectors_of_their_network(
    made: dict, make_onnx, images: list[Path], weights: np.ndarray, tmp_path: Path
) -> None:
    added = add_model(make_onnx(**made), tmp_path / "out.onnx", size=(24, 16), **GIVEN)
    model = facever.load_model(added.path)
    assert (model.dimension, added.dimension) == (5, 5)
    assert model.fingerprint == added.fingerprint
    assert model.alignment == "none"
    error = 2e-2 if made.get("kind") == TensorProto.FLOAT16 else 1e-5
    np.testing.assert_allclose(model.embed(images), by_hand(images, weights), atol=error)
    assert added.images_per_second > 0


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_levels_go_in_as_they_are(
    layout: str, make_onnx, images: list[Path], weights: np.ndarray, tmp_path: Path
) -> None:
    source = make_onnx(kind=TensorProto.UINT8, layout=layout)
    with pytest.raises(ModelError, match=r"uint8.*mean is 0 and its std 1"):
        add_model(source, tmp_path / "out.onnx", **GIVEN)
    added = add_model(source, tmp_path / "out.onnx", mean=0, std=1)
    rows = np.array([pixels_of(path).mean(axis=(0, 1)) @ weights for path in images])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(facever.load_model(added.path).embed(images), rows, atol=1e-5)


def test_one_channel(make_onnx, images: list[Path], weights: np.ndarray, tmp_path: Path) -> None:
    source = make_onnx(channels=1)
    with pytest.raises(ModelError, match="one channel: its color is grey"):
        add_model(source, tmp_path / "out.onnx", mean=120, std=50)
    added = add_model(source, tmp_path / "out.onnx", color="grey", mean=120, std=50)
    grey = [(pixels_of(path, "grey")[..., 0].mean() - 120) / 50 for path in images]
    wanted = np.array(grey)[:, None] * weights[:1]
    found = facever.load_model(added.path).features(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_colour_order(make_onnx, images: list[Path], weights: np.ndarray, tmp_path) -> None:
    added = add_model(make_onnx(), tmp_path / "out.onnx", color="bgr", **GIVEN)
    found = facever.load_model(added.path).embed(images)
    np.testing.assert_allclose(found, by_hand(images, weights, "bgr"), atol=1e-5)


def test_what_nobody_reads_is_no_input(make_onnx, tmp_path: Path) -> None:
    added = add_model(make_onnx(listed=True), tmp_path / "out.onnx", **GIVEN)
    written = onnx.load(added.path)
    assert [one.name for one in written.graph.input] == ["pixels"]
    assert "facever.card" in {one.key for one in written.metadata_props}


def test_one_of_several_outputs_is_named(
    make_onnx, images: list[Path], weights: np.ndarray, tmp_path: Path
) -> None:
    source = make_onnx(outputs=("scores", "vector"), last=(("Softmax", "scores"),))
    with pytest.raises(ConfigError, match=r"2 outputs: .*--output \(scores.*vector"):
        add_model(source, tmp_path / "out.onnx", **GIVEN)
    added = add_model(source, tmp_path / "out.onnx", output="vector", **GIVEN)
    found = facever.load_model(added.path).embed(images)
    np.testing.assert_allclose(found, by_hand(images, weights), atol=1e-5)
    with pytest.raises(ConfigError, match="did you mean 'vector'"):
        add_model(source, tmp_path / "out.onnx", output="vectr", overwrite=True, **GIVEN)
    with pytest.raises(ModelError, match=r"made by Softmax.*no embedding"):
        add_model(source, tmp_path / "out.onnx", output="scores", overwrite=True, **GIVEN)


def test_numbers_in_another_file_are_taken_in(
    make_onnx, images: list[Path], weights: np.ndarray, tmp_path: Path
) -> None:
    source = make_onnx("apart.onnx")
    onnx.save(
        onnx.load(source), source, save_as_external_data=True, location="numbers", size_threshold=0
    )
    added = add_model(source, tmp_path / "out.onnx", **GIVEN)
    (tmp_path / "numbers").unlink()
    found = facever.load_model(added.path).embed(images)
    np.testing.assert_allclose(found, by_hand(images, weights), atol=1e-5)


def test_what_is_not_given_must_be_known(make_onnx, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    with pytest.raises(ConfigError, match=r"--mean and --std.*--like insightface"):
        add_model(make_onnx(), out)
    with pytest.raises(ConfigError, match=r"any size .*--size"):
        add_model(make_onnx(size=("h", "w")), out, **GIVEN)
    with pytest.raises(ModelError, match=r"'pixels'|pixels \[\?, 3, 24, 16\].*--size"):
        add_model(make_onnx(), out, size=(112, 112), **GIVEN)
    with pytest.raises(ConfigError, match=r"unknown alignment 'arcface'.*arcface-112"):
        add_model(make_onnx(), out, alignment="arcface", **GIVEN)
    with pytest.raises(ConfigError, match=r"unknown model 'sfce'.*did you mean 'sface'"):
        add_model(make_onnx(), out, like="sfce")
    with pytest.raises(ConfigError, match="std above 0"):
        add_model(make_onnx(), out, mean=0, std=0)
    assert not out.exists()
    out.write_text("something")
    with pytest.raises(ConfigError, match="exists"):
        add_model(make_onnx(), out, **GIVEN)
    assert out.read_text() == "something"


def test_like_a_known_family(make_onnx, tmp_path: Path) -> None:
    card = add_model(make_onnx(size=("h", "w")), tmp_path / "o.onnx", like="insightface").card
    assert (card.size, card.mean, card.alignment) == ((112, 112), (127.5,) * 3, "arcface-112")
    again = add_model(tmp_path / "o.onnx", tmp_path / "p.onnx", alignment="none").card
    assert (again.mean, again.alignment) == ((127.5,) * 3, "none")
    assert again.source_sha256 == card.source_sha256


def replaced(nodes: list[onnx.NodeProto], **shapes: list) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        for name, shape in shapes.items():
            port = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            model.graph.input.append(port)

    return change


CONSTANT = numpy_helper.from_array(np.ones((1, 5), np.float32), "five")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"last": (("Softmax", "p"),), "outputs": ("p",)}, "made by Softmax"),
        ({"last": (("Softmax", "p"), ("Identity", "q")), "outputs": ("q",)}, "probabilities"),
        ({"last": (("Log", "l"),), "outputs": ("l",)}, "infinite or NaN"),
        (
            {"change": replaced([helper.make_node("Identity", ["pixels"], ["vector"])])},
            "one vector an image",
        ),
        (
            {
                "change": replaced(
                    [helper.make_node("Add", ["pixels", "other"], ["vector"])], other=[1]
                )
            },
            "needs 2 inputs",
        ),
        (
            {
                "change": replaced(
                    [
                        helper.make_node("ReduceMean", ["pixels"], ["m"], axes=[1, 2, 3]),
                        helper.make_node("Flatten", ["m"], ["f"]),
                        helper.make_node("Constant", [], ["zero"], value_float=0.0),
                        helper.make_node("Constant", [], ["five"], value=CONSTANT),
                        helper.make_node("Mul", ["f", "zero"], ["g"]),
                        helper.make_node("Add", ["g", "five"], ["vector"]),
                    ]
                )
            },
            "the same for all images",
        ),
        ({"opset": 99}, "opset"),
        ({"change": lambda model: setattr(model, "ir_version", 99)}, "IR version"),
        ({"kind": TensorProto.DOUBLE}, "does not take images"),
        ({"size": (9000, 9000)}, "9000 x 9000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_embedder_is_refused_in_one_line(
    made: dict, words: str, make_onnx, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_onnx(**made)
    with pytest.raises(ModelError) as refused:
        add_model(source, tmp_path / "out.onnx", **GIVEN)
    assert words in str(refused.value)
    assert str(source) in str(refused.value)
    assert not (tmp_path / "out.onnx").exists()
    assert capfd.readouterr() == ("", "")
