"""Backbones of torchvision: the network's own features before its classifier, weights of files."""

from pathlib import Path

import pytest
import torch
import torchvision

from facever.config import parse
from facever.errors import ConfigError, ModelError
from facever.models import Embedder, ModelConfig, save_embedder
from facever.models.backbone import create_backbone
from facever.models.saving import load_embedder

SMALL = "torchvision:shufflenet_v2_x0_5"


def plain(name: str, **options) -> torch.nn.Module:
    """Return torchvision's whole network, with weights that a fixed seed draws."""
    torch.manual_seed(3)
    return torchvision.models.get_model(name, weights=None, **options).eval()


@pytest.mark.parametrize(
    ("name", "classifier", "size"),
    [
        ("resnet18", "fc", (64, 32)),
        ("shufflenet_v2_x0_5", "fc", (32, 32)),
        ("mobilenet_v3_small", "classifier.3", (32, 32)),
        ("regnet_y_400mf", "fc", (32, 48)),
        ("swin_t", "head", (32, 32)),
    ],
)
def test_features_and_weights_are_torchvisions(name, classifier, size, tmp_path: Path, capsys):
    """The classifier, applied to our features, gives the output of the whole network."""
    whole = plain(name)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    backbone = create_backbone(
        f"torchvision:{name}", {}, size, pretrained=str(tmp_path / "weights.pth")
    ).eval()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    last = whole.get_submodule(classifier)
    with torch.no_grad():
        torch.testing.assert_close(last(backbone(images)), whole(images))
    kept = len(whole.state_dict()) - 2
    said = capsys.readouterr().err
    assert f"{kept} pretrained tensors loaded" in said
    assert f"not used: {classifier}." in said


def test_a_vision_transformer_is_built_for_the_images():
    backbone = create_backbone("torchvision:vit_b_32", {}, (64, 64))
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 768)


def test_an_embedder_trains_saves_and_loads(tmp_path: Path):
    config = parse(
        ModelConfig,
        {"backbone": SMALL, "embedding_size": 8, "preprocessing": {"size": 32}},
    )
    embedder = Embedder(config)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    embedder(images).square().sum().backward()
    assert all(p.grad is not None for p in embedder.parameters())
    save_embedder(embedder.eval(), tmp_path / "model.safetensors", metric="cosine")
    again, card = load_embedder(tmp_path / "model.safetensors")
    assert card.config.backbone == SMALL
    assert torch.equal(again(images), embedder(images))


def test_weights_of_another_network_name_what_differs(tmp_path: Path):
    torch.save(plain("shufflenet_v2_x1_0").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"does not fit backbone 'torchvision:.*is needed"):
        create_backbone(SMALL, {}, (32, 32), pretrained=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"backbone": "torchvision:resnet81"}, ["'torchvision:resnet81'", "'resnet18'"]),
        ({"backbone": "torchvision:"}, ["unknown backbone", "torchvision.models"]),
        ({"backbone": "torchvision:squeezenet1_0"}, ["linear classifier", "timm"]),
        ({"backbone": SMALL, "backbone_options": {"dept": 3}}, ["cannot be built", "dept=3"]),
        ({"backbone": SMALL, "backbone_options": {"num_classes": 3}}, ["num_classes is set by"]),
        ({"backbone": SMALL, "pooling": "flatten"}, ["flatten", "model.pooling"]),
        ({"backbone": SMALL, "local": {}}, ["model.local", "feature maps"]),
    ],
)
def test_refused_in_one_line(values, parts):
    with pytest.raises(ConfigError) as error:
        Embedder(parse(ModelConfig, {"preprocessing": {"size": 32}, **values}))
    assert all(part in str(error.value) for part in parts)
    assert "\n" not in str(error.value)


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host\nand a page more")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"no pretrained weights of .*no route to host"):
        create_backbone(SMALL, {}, (32, 32), pretrained=True)
