import socket
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from facever.errors import ConfigError, ModelError
from facever.models import save_embedder
from facever.models.backbone import create_backbone


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    """The weights of a test_resnet with classifier."""
    torch.manual_seed(11)
    return {k: v.clone() for k, v in timm.create_model("test_resnet").state_dict().items()}


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(
        ConfigError, match=r"^unknown backbone 'resnt18'; did you mean 'resnet18'\?"
    ):
        create_backbone("resnt18", {}, (32, 32))


def test_an_unknown_tag_names_the_tags():
    with pytest.raises(ConfigError) as error:
        create_backbone("test_resnet.x", {}, (32, 32))
    assert str(error.value) == (
        "backbone 'test_resnet' has no weights tagged 'x' (has: test_resnet.r160_in1k)"
    )


def test_an_unknown_option_is_one_line():
    with pytest.raises(ConfigError) as error:
        create_backbone("test_resnet", {"dept": 3}, (32, 32))
    assert str(error.value).startswith("backbone 'test_resnet' cannot be built with dept=3: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_backbones_of_a_fixed_size_get_the_size_of_the_images(size):
    small = {"depth": 1, "embed_dim": 24}
    backbone = create_backbone("vit_tiny_patch16_224", small, size)
    assert backbone(torch.zeros(1, 3, *size)).shape == (1, 24)


@pytest.mark.parametrize(
    "wrap",
    ["plain", "state_dict", "model", "module", "safetensors", "module-safetensors"],
)
def test_weights_of_a_file(wrap, weights, tmp_path: Path):
    path = tmp_path / ("w.safetensors" if wrap.endswith("safetensors") else "w.pth")
    if wrap == "safetensors":
        save_file(weights, path)
    elif wrap == "module-safetensors":
        save_file({f"module.{k}": v for k, v in weights.items()}, path)
    elif wrap == "module":
        torch.save({f"module.{k}": v for k, v in weights.items()}, path)
    else:
        torch.save({wrap: weights, "epoch": 3} if wrap != "plain" else weights, path)
    backbone = create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_position_embeddings_are_resized(tmp_path: Path):
    path = tmp_path / "w.pth"
    torch.save(timm.create_model("test_vit").state_dict(), path)  # for 160 px
    backbone = create_backbone("test_vit", {}, (32, 32), pretrained=str(path))
    assert backbone(torch.zeros(1, 3, 32, 32)).shape == (1, 64)


def test_the_backbone_of_a_facever_model(make_embedder, tmp_path: Path):
    embedder = make_embedder()
    save_embedder(embedder, tmp_path / "model.safetensors", metric="cosine")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        backbone = create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))
        for name, value in backbone.state_dict().items():
            assert torch.equal(value, embedder.backbone.state_dict()[name]), name


def test_another_architecture_names_what_differs(weights, tmp_path: Path):
    path = tmp_path / "w.pth"
    torch.save(weights, path)
    with pytest.raises(ModelError) as error:
        create_backbone("test_vit", {}, (32, 32), pretrained=str(path))
    message = str(error.value)
    assert message.startswith(f"{path} does not fit backbone 'test_vit': without cls_token, ")
    assert "; with unknown conv1.0.weight, " in message
    assert "\n" not in message
    weights["conv1.0.weight"] = torch.zeros(2, 3, 3, 3)
    torch.save(weights, path)
    with pytest.raises(
        ModelError, match=r"conv1.0.weight is \[2, 3, 3, 3\] where \[.*\] is needed"
    ):
        create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))


class Payload:
    def __reduce__(self):
        return print, ("code from a stranger",)


@pytest.mark.parametrize("content", ["missing", "text", "tensor", "code", "truncated"])
def test_files_that_hold_no_weights(content, weights, tmp_path: Path, capsys):
    path = tmp_path / ("w.safetensors" if content == "truncated" else "w.pth")
    if content == "text":
        path.write_text("hello")
    elif content == "tensor":
        torch.save(torch.zeros(2), path)
    elif content == "code":
        torch.save(Payload(), path)
    elif content == "truncated":
        save_file(weights, path)
        path.write_bytes(path.read_bytes()[:-100])
    wanted = {
        "missing": f"no file with pretrained weights at {path}",
        "text": f"{path} holds no plain tensors (",
        "tensor": f"{path} holds no dictionary of named tensors",
        "code": f"{path} holds no plain tensors (",
        "truncated": f"{path} is not a whole safetensors file (",
    }
    with pytest.raises(ModelError) as error:
        create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))
    assert str(error.value).startswith(wanted[content])
    assert "\n" not in str(error.value)
    assert "stranger" not in capsys.readouterr().out


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host\nand a page more")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", offline)
    with pytest.raises(ModelError) as error:
        create_backbone("test_resnet", {}, (32, 32), pretrained=True)
    assert str(error.value) == (
        "no pretrained weights of 'test_resnet' (no route to host): they need a network once; "
        "else set model.pretrained to a local file, or to false"
    )


def test_without_network_the_answer_comes_at_once(monkeypatch: pytest.MonkeyPatch):
    """No server listens on that port of this machine."""
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    seen = []

    def hub(*_: object, **__: object) -> None:
        seen.append(constants.HF_HUB_OFFLINE)
        raise OSError("not in the cache")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", hub)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", hub)
    before = constants.HF_HUB_OFFLINE
    with pytest.raises(ModelError, match=r"no pretrained weights of 'test_resnet' \(not in the"):
        create_backbone("test_resnet", {}, (32, 32), pretrained=True)
    assert seen[0] is True
    assert constants.HF_HUB_OFFLINE is before


def test_a_host_that_answers_is_asked(monkeypatch: pytest.MonkeyPatch):
    from facever.models.backbone import _reachable

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert _reachable(f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert _reachable("https://127.0.0.1:1")


def test_what_is_loaded_is_said(weights, tmp_path: Path, capsys):
    torch.save(weights, tmp_path / "w.pth")
    create_backbone("test_resnet", {}, (32, 32), pretrained=str(tmp_path / "w.pth"))
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{len(weights) - 2} pretrained tensors loaded from {tmp_path}/w.pth" in said
    assert said.endswith("not used: fc.weight, fc.bias")


def test_weights_under_a_prefix(weights, tmp_path: Path, capsys):
    """As training code saves a model of several parts."""
    inside = {f"backbone.{name}": value for name, value in weights.items()}
    path = tmp_path / "w.pth"
    torch.save({"model": {**inside, "heads.weight": torch.zeros(3)}, "iteration": 7}, path)
    backbone = create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{len(weights) - 2} pretrained tensors loaded from {path} (names without " in said
    assert "without backbone.); not used: backbone.fc.weight, backbone.fc.bias, heads" in said
    assert said.endswith(", ... (4 in all)")

    other = {f"teacher.{name}": value for name, value in weights.items()}
    torch.save({**inside, **other}, path)  # which of the two is not for us to say
    with pytest.raises(ModelError, match=r"does not fit .*with unknown backbone\.conv1\.0\.weight"):
        create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))


def test_files_from_before_batchnorm_counted(weights, tmp_path: Path, capsys):
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    path = tmp_path / "w.pth"
    weights["bn1.running_mean"] += 1
    torch.save({name: weights[name] for name in weights if name not in counters}, path)
    backbone = create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, torch.tensor(0) if name in counters else weights[name]), name
    said = capsys.readouterr().err
    assert f"{len(weights) - 2 - len(counters)} pretrained tensors loaded" in said
    assert f"; not in it: {len(counters)} counters of BatchNorm, now 0; not used: fc" in said

    lacking = {k: v for k, v in weights.items() if k not in (*counters, "bn1.running_mean")}
    torch.save(lacking, path)
    with pytest.raises(ModelError, match=r"without bn1\.running_mean$"):
        create_backbone("test_resnet", {}, (32, 32), pretrained=str(path))


def test_options_are_named_where_weights_do_not_fit(weights, tmp_path: Path):
    save_file(weights, tmp_path / "w.safetensors")
    options = {"channels": [8, 8, 8, 8]}
    with pytest.raises(ModelError, match=r"'test_resnet' with channels=\[8, 8, 8, 8\]: "):
        create_backbone("test_resnet", options, (32, 32), str(tmp_path / "w.safetensors"))


def test_a_whole_model_is_named(tmp_path: Path):
    torch.save(timm.create_model("test_resnet"), tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"it has a timm\.models\.resnet\.ResNet: save its state_d"
    ):
        create_backbone("test_resnet", {}, (32, 32), pretrained=str(tmp_path / "w.pth"))


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_one_flipped_bit_of_pretrained_weights_is_refused(
    make_embedder, weights, tmp_path: Path, kind: str
):
    path = tmp_path / f"w.{kind}"
    if kind == "pth":
        torch.save(weights, path)
    else:
        save_embedder(make_embedder(), path, metric="cosine")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 64
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match="is damaged"):
        make_embedder(pretrained=str(path))
