"""The one reader of ONNX files, on bytes of strangers."""

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facever.errors import ModelError
from facever.models.onnx.file import read_onnx, with_metadata


def test_it_says_what_the_onnx_package_says(make_onnx) -> None:
    path = make_onnx(listed=True, opset=17)
    said, file = onnx.load(path), read_onnx(path)
    assert file.opset == said.opset_import[0].version
    assert [one.name for one in file.inputs] == ["pixels"]
    assert file.inputs[0].shape == [None, 3, 24, 16]
    assert file.idle == len(said.graph.input) - 1
    assert [one.name for one in file.outputs] == ["vector"]
    assert file.makers == {node.output[0]: node.op_type for node in said.graph.node}


def test_metadata_is_replaced_and_the_rest_stays(make_onnx, tmp_path: Path) -> None:
    path = make_onnx()
    written = tmp_path / "written.onnx"
    written.write_bytes(with_metadata(path.read_bytes(), {"a": "1", "key": "é" * 300}))
    written.write_bytes(with_metadata(written.read_bytes(), {"key": "é" * 200}))
    said = onnx.load(written)
    assert {one.key: one.value for one in said.metadata_props} == {"key": "é" * 200}
    del said.metadata_props[:]
    assert said == onnx.load(path)
    assert read_onnx(written).metadata == {"key": "é" * 200}
    assert read_onnx(written).body_sha256 == read_onnx(path).body_sha256


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08", bytes(100)], ids=repr)
def test_what_is_not_onnx(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"x.onnx is not an ONNX file, or it is damaged"):
        read_onnx(path)
    with pytest.raises(ModelError, match="no such file"):
        read_onnx(tmp_path / "y.onnx")


def test_no_damage_ends_in_anything_but_one_line(make_onnx, tmp_path: Path) -> None:
    whole = make_onnx(listed=True).read_bytes()
    path, random = tmp_path / "x.onnx", np.random.default_rng(0)
    refused = 0
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            read_onnx(path)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            read_onnx(path)
        except ModelError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "a/../../secret", "link", "..\\secret", "missing", "", "short"],
)
def test_numbers_outside_of_the_folder(location: str, make_onnx, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(1000))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "short").write_bytes(bytes(10))

    def outside(model: onnx.ModelProto) -> None:
        held = model.graph.initializer[0]
        held.ClearField("raw_data")
        held.data_location = TensorProto.EXTERNAL
        held.external_data.add(key="location", value=location)

    path = make_onnx("model/x.onnx", change=outside)
    with pytest.raises(ModelError) as refused:
        read_onnx(path)
    said = str(refused.value)
    assert str(path) in said
    assert "outside the model's folder" in said or location in ("missing", "short", "link")
    assert ("out of the model's folder" in said) == (location == "link")
    assert ("too short" in said) == (location == "short")


@pytest.mark.parametrize("dims", [[2**50, 3], [10**6, 10**6], [-1, 5]])
@pytest.mark.parametrize("where", ["initializer", "constant"])
def test_huge_shapes_take_no_memory(dims: list[int], where: str, make_onnx) -> None:
    def huge(model: onnx.ModelProto) -> None:
        tensor = numpy_helper.from_array(np.ones(5, np.float32), "weights")
        del tensor.dims[:]
        tensor.dims.extend(dims)
        if where == "constant":
            node = helper.make_node("Constant", [], ["huge"], value=tensor)
            model.graph.node.append(node)
        else:
            model.graph.initializer[0].CopyFrom(tensor)

    begun = time.perf_counter()
    with pytest.raises(ModelError, match=r"declares|invalid shape"):
        read_onnx(make_onnx(change=huge))
    assert time.perf_counter() - begun < 5


def test_graphs_within_graphs_end(make_onnx) -> None:
    graph = helper.make_graph([], "innermost", [], [])
    for level in range(20):
        node = helper.make_node("If", ["c"], [f"o{level}"], then_branch=graph)
        graph = helper.make_graph([node], f"g{level}", [], [])
    path = make_onnx(change=lambda model: model.graph.node.extend(graph.node))
    with pytest.raises(ModelError, match="nested too deeply"):
        read_onnx(path)
