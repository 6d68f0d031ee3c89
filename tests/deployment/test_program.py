import sys
from pathlib import Path

import onnx
import pytest

from facever.deployment.graph import DeployedNetwork
from facever.deployment.program import onnx_program
from facever.errors import ModelError
from tests.deployment.conftest import small_embedder


def program(backbone: str, place: str = "inside") -> bytes:
    embedder = small_embedder(backbone=backbone)
    network = DeployedNetwork(embedder, place, "NHWC", False).eval()  # type: ignore[arg-type]
    return onnx_program(network, backbone)


@pytest.mark.parametrize("backbone", ["Plain", "Conditional"])
def test_its_bytes_say_nothing_of_this_machine(backbone: str) -> None:
    content = program(f"tests.deployment.backbones:{backbone}")
    here = Path(__file__).parent.as_posix().encode()
    for word in (here, b"site-packages", b".py", b"stack_trace", backbone.encode()):
        assert word not in content
    assert program(f"tests.deployment.backbones:{backbone}") == content
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert ("If" in {node.op_type for node in model.graph.node}) == (backbone == "Conditional")


def test_an_unexportable_module_of_a_users_own_is_named() -> None:
    with pytest.raises(ModelError) as error:
        program("tests.deployment.backbones:Branching")
    said = str(error.value)
    assert "\n" not in said
    assert "'backbone.second' tests.deployment.backbones:Branch" in said
    assert "backbones.py, line" in said


def test_a_fixed_batch_is_refused() -> None:
    with pytest.raises(ModelError, match=r"batch") as error:
        program("tests.deployment.backbones:Fixed")
    assert "images.shape[0]" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=rf"{package}.*pip install 'facever\[export\]'"):
        program("tests.deployment.backbones:Plain")
