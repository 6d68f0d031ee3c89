"""A learned quality from an ONNX file."""

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest

from facever.errors import ModelError
from facever.faces import Face, quality_of, template
from facever.models.onnx.quality import OnnxQuality


def brightness_model(path: Path, channels_first: bool) -> Path:
    """Write a model that says the mean of its pixels."""
    shape = [1, 3, 32, 32] if channels_first else ["N", 32, 32, 3]
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("ReduceMean", ["image"], ["quality"], keepdims=0)
    graph = helper.make_graph(
        [node],
        "brightness",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("quality", kind, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("channels_first", [True, False])
def test_a_learned_model(tmp_path: Path, channels_first: bool) -> None:
    path = brightness_model(tmp_path / "quality.onnx", channels_first)
    learned = OnnxQuality(path, mean=0, std=255)
    grey = np.full((112, 112, 3), 51, np.uint8)
    face = Face((0, 0, 112, 112), template("arcface-112", 112).astype(np.float32), 0.9)
    judged = quality_of(face, grey, learned)
    assert judged.score == pytest.approx(20, abs=1e-3)
    assert any("contrast" in reason for reason in judged.reasons)
    assert len(learned.sha256) == 64
    assert pickle.loads(pickle.dumps(learned))(grey) == learned(grey)


def test_files_that_are_no_quality_model(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        OnnxQuality(broken)
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        OnnxQuality(tmp_path / "absent.onnx")
