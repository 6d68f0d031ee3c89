"""int8: calibrated on images, costliest layers in float, another embedding space."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import facever
from facever.errors import ConfigError, DataError, ModelError
from facever.models.onnx.adding import add_model
from facever.models.onnx.card import card_of
from facever.models.onnx.file import read_onnx
from facever.models.onnx.quantizing import FEWEST, quantize

SIZE = (24, 16)
CHANNELS = 8


def network(model: onnx.ModelProto, fragile: bool = True) -> None:
    """Put three convolutions before the small network.

    Of a fragile one the first input of the product is 1000 times as large as the others and
    multiplied by zero: an integer of 8 bits for all inputs cannot hold the others beside it.
    """
    random = np.random.default_rng(7)
    shapes = {"first": (CHANNELS, 3, 3, 3), "second": (CHANNELS,) * 2 + (3, 3)}
    before, nodes = "pixels", []
    for name, shape in {**shapes, "third": (3, CHANNELS, 1, 1)}.items():
        kernel = random.normal(size=shape) / shape[1]
        held = numpy_helper.from_array(kernel.astype(np.float32), f"{name}_kernel")
        model.graph.initializer.append(held)
        pads = [shape[2] // 2] * 4
        nodes.append(helper.make_node("Conv", [before, held.name], [name], name=name, pads=pads))
        before = name
        if name != "third":
            nodes.append(helper.make_node("Relu", [name], [f"{name}_relu"]))
            before = f"{name}_relu"
    if fragile:
        weights = next(one for one in model.graph.initializer if one.name == "weights")
        values = numpy_helper.to_array(weights) * np.array([[0], [1], [1]], np.float32)
        weights.CopyFrom(numpy_helper.from_array(values, "weights"))
        wide = np.array([[1000, 1, 1]], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    mean, product = model.graph.node
    mean.input[0], product.name = before, "product"
    nodes.append(mean)
    if fragile:
        nodes.append(helper.make_node("Mul", [mean.output[0], "wide"], ["widened"]))
        product.input[0] = "widened"
    del model.graph.node[:]
    model.graph.node.extend([*nodes, product])


@pytest.fixture
def source(make_onnx: Callable[..., Path], tmp_path: Path) -> Path:
    return add_model(
        make_onnx(change=network), tmp_path / "m.onnx", mean=127.5, std=60, color="bgr"
    ).path


@pytest.fixture
def crops() -> list[np.ndarray]:
    """Smooth images of 24 x 16 to 31 x 23 pixels."""
    random = np.random.default_rng(4)
    coarse = random.integers(0, 256, (FEWEST, 4, 4, 3), dtype=np.uint8)
    return [
        one.repeat(8, 0).repeat(6, 1)[: 24 + i % 8, : 16 + i % 8] for i, one in enumerate(coarse)
    ]


def test_an_int8_model(source: Path, crops: list[np.ndarray], tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    made = quantize(source, out, crops, dataset="smooth noise")
    assert (made.calibrated, made.measured) == (24, 8)
    assert made.layers == 4  # three convolutions and the product
    assert list(made.float_layers) == ["product"]  # a quarter of them, and the fragile one
    assert made.mean_distance < made.distance_all_int8 / 10

    exact, model = facever.load_model(source), facever.load_model(out)
    every_fourth = crops[3::4]
    one, two = exact.embed(every_fourth), model.embed(every_fourth)
    distances = 1 - (one.astype(np.float64) * two).sum(axis=1)
    assert made.mean_distance == pytest.approx(distances.mean(), abs=1e-6)
    assert made.largest_distance == pytest.approx(distances.max(), abs=1e-6)
    assert 0 < made.mean_distance < 0.02

    assert model.fingerprint == made.fingerprint != exact.fingerprint
    assert model.options["precision"] == "int8"
    assert facever.load_model(out, precision="int8").fingerprint == made.fingerprint
    assert facever.load_model(out, engine="openvino").fingerprint != made.fingerprint
    card = model.card
    assert (card.color, card.mean, card.name) == ("bgr", (127.5,) * 3, "small-int8")
    assert card.quantization["source_fingerprint"] == exact.fingerprint
    assert card.quantization["dataset"] == "smooth noise"
    assert card.quantization["float_layers"] == made.float_layers
    assert json.loads(card.to_json())["quantization"] == card.quantization
    assert min(made.speed, made.source_speed) > 0
    assert ("not faster on this machine" in made.note) == (made.speed <= made.source_speed)


def test_the_file_is_qdq_per_channel(source: Path, crops: list, tmp_path: Path) -> None:
    quantize(source, tmp_path / "int8.onnx", crops)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    onnx.checker.check_model(onnx.load(tmp_path / "int8.onnx"))
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    weights = {
        node.input[0]: (held[node.input[0]], held[node.input[1]])
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in held
    }
    int8 = {name: value for name, value in weights.items() if value[0].dtype == np.int8}
    assert {name for name in int8 if "first_kernel" in name}
    assert not {name for name in int8 if "weights" in name}  # stayed in float
    for name, (levels, scale) in int8.items():
        assert np.abs(levels.astype(int)).max() <= 64, name  # 7 bits: sums of two products in 16
        if "first_kernel" in name:
            assert scale.shape == (CHANNELS,)


def test_the_same_images_give_the_same_file(source: Path, crops: list, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    for path in paths:
        quantize(source, path, crops)
    assert len({read_onnx(path).body_sha256 for path in paths}) == 1


def test_robust_models_have_no_float_layers(make_onnx, crops: list, tmp_path: Path) -> None:
    robust = make_onnx("robust.onnx", change=lambda model: network(model, fragile=False))
    source = add_model(robust, tmp_path / "r.onnx", mean=127.5, std=60).path
    made = quantize(source, tmp_path / "int8.onnx", crops, most_distance=0.5)
    assert made.float_layers == {}
    assert made.mean_distance == made.distance_all_int8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda crops: crops[:1], f"1 different calibration image: at least {FEWEST}"),
        (lambda crops: crops[:1] * FEWEST, f"1 different calibration image: at least {FEWEST}"),
        (lambda crops: [], f"0 different calibration images: at least {FEWEST}"),
        (lambda crops: [*crops, crops[0][:20]], rf"image {FEWEST} has 20 x 16 .* 24 x 16"),
        (lambda crops: [crops[0] / 255, *crops], "image 0 is float64.*uint8"),
        (lambda crops: [*crops, crops[0][..., 0]], r"uint8 \[24, 16\].*RGB"),
    ],
)
def test_images_that_cannot_calibrate(
    change: Callable, words: str, source: Path, crops: list, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        quantize(source, tmp_path / "int8.onnx", change(crops))
    assert not (tmp_path / "int8.onnx").exists()


def test_models_that_cannot_be_quantised(
    source: Path, make_onnx, crops: list, tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    old = add_model(make_onnx("old.onnx", opset=11), tmp_path / "o.onnx", mean=0, std=9).path
    with pytest.raises(ModelError, match=r"o\.onnx has opset 11: int8 needs 13"):
        quantize(old, out, crops)

    def no_layer(model: onnx.ModelProto) -> None:
        del model.graph.node[1:]
        model.graph.node[0].output[0] = "vector"

    bare = add_model(make_onnx("bare.onnx", change=no_layer), tmp_path / "b.onnx", mean=0, std=9)
    with pytest.raises(ModelError, match=r"b\.onnx has no layer that can be int8"):
        quantize(bare.path, out, crops)
    quantize(source, out, crops)
    with pytest.raises(ConfigError, match=r"int8\.onnx exists.*--overwrite"):
        quantize(source, out, crops)
    with pytest.raises(ModelError, match=r"int8\.onnx is int8: give the fp32 model"):
        quantize(out, tmp_path / "again.onnx", crops)
    with pytest.raises(ConfigError, match=r"'fp32'.*int8"):
        facever.load_model(out, precision="fp32")
    assert card_of(read_onnx(out)).precision == "int8"


def test_vectors_that_are_nan(make_onnx, crops: list, tmp_path: Path) -> None:
    def overflow(model: onnx.ModelProto) -> None:
        model.graph.node.insert(0, helper.make_node("Sub", ["pixels", "limit"], ["less"]))
        model.graph.node.insert(1, helper.make_node("Sqrt", ["less"], ["root"]))
        model.graph.initializer.append(numpy_helper.from_array(np.float32(-2.5), "limit"))
        model.graph.node[2].input[0] = "root"

    path = add_model(make_onnx(change=overflow), tmp_path / "n.onnx", mean=127.5, std=51).path
    black = [np.zeros_like(crops[0]), *crops]
    quantize(path, tmp_path / "fine.onnx", crops)
    file, card = read_onnx(path), card_of(read_onnx(path))
    assert card is not None
    from dataclasses import replace

    from facever.models.onnx.card import KEY
    from facever.models.onnx.file import with_metadata

    shifted = replace(card, mean=(255.0,) * 3)
    path.write_bytes(with_metadata(file.content, {KEY: shifted.to_json()}))
    with pytest.raises(ModelError, match=r"zero, infinite or NaN"):
        quantize(path, tmp_path / "int8.onnx", black)


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_batches_and_engines(batch: int, make_onnx, crops: list, tmp_path: Path) -> None:
    path = add_model(
        make_onnx(change=network, batch=batch), tmp_path / "m.onnx", mean=127.5, std=60
    ).path
    made = quantize(path, tmp_path / "int8.onnx", crops)
    vectors = facever.load_model(made.path, engine="openvino").embed(crops)
    np.testing.assert_allclose(vectors, facever.load_model(path).embed(crops), atol=0.2)
