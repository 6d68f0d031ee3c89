import math

import numpy as np
import pytest
import torch
from torch import nn

from facever.config import parse
from facever.errors import ConfigError, ModelError
from facever.models import Embedder, ModelConfig, load_embedder, model_hash, save_embedder
from facever.models.keypoints import KeypointAttention, KeypointConfig

LOCAL = {"stages": [3, 4], "keypoints": 3}


@pytest.fixture
def large():
    """uint8 [4, 3, 64, 96]: maps of 4 x 6 and 2 x 3 places."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (4, 3, 64, 96), dtype=torch.uint8, generator=generator)


def attention_of(channels=5, keypoints=2):
    torch.manual_seed(0)
    return KeypointAttention(channels, keypoints).double().eval()


def test_pooled_features_are_those_of_the_loop():
    part = attention_of()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    maps, scores = x.numpy(), part.block(x).detach().numpy()
    wanted = np.zeros((2, 2, 5))
    attention = np.zeros((2, 2, 3, 4))
    for b in range(2):
        for c in range(2):
            total = sum(math.exp(scores[b, c, i, j]) for i in range(3) for j in range(4))
            for i in range(3):
                for j in range(4):
                    attention[b, c, i, j] = math.exp(scores[b, c, i, j]) / total
                    for k in range(5):
                        wanted[b, c, k] += attention[b, c, i, j] * maps[b, k, i, j]
    np.testing.assert_allclose(part.attention(x).detach(), attention, rtol=1e-10)
    np.testing.assert_allclose(part(x).detach(), wanted.reshape(2, 10), rtol=1e-10)


def test_the_block():
    shapes = [list(w.shape) for w in KeypointAttention(16, 2).parameters()]
    assert shapes == [[4, 16, 3, 3], [4], [4], [2, 4, 1, 1]]
    assert KeypointAttention(16, 6).block[0].out_channels == 6  # not fewer than keypoints


def test_a_keypoint_that_sees_no_difference_is_the_average():
    part = attention_of(keypoints=3)
    nn.init.zeros_(part.block[3].weight)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(part(x), x.mean((2, 3)).repeat(1, 3))


def test_a_keypoint_that_is_sure_takes_one_place():
    part = attention_of(keypoints=2)
    x = torch.randn(1, 5, 3, 4, dtype=torch.float64)
    scores = torch.zeros(1, 2, 3, 4, dtype=torch.float64)
    scores[0, 0, 1, 3] = scores[0, 1, 2, 0] = 1e4
    part.block.forward = lambda _: scores
    torch.testing.assert_close(part(x), torch.cat([x[:, :, 1, 3], x[:, :, 2, 0]], 1))


def test_gradients():
    part = attention_of(channels=3)
    part.block[2] = nn.Tanh()  # without the kinks of ReLU
    x = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(part, (x,))
    part(x).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in part.parameters())


def test_half_precision_is_raised_for_the_softmax():
    part = KeypointAttention(8, 2).eval()
    x = torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert part.block(x).dtype == torch.bfloat16
        assert part.attention(x).dtype == part(x).dtype == torch.float32
        half = part(x.bfloat16())
    torch.testing.assert_close(half, part(x), rtol=0.05, atol=0.05)
    torch.testing.assert_close(part.attention(x).sum((2, 3)), torch.ones(2, 2))


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        ("test_resnet", (192, 96)),
        ("resnet10t", (256, 512)),
        ("mobilenetv3_small_050", (24, 288)),
        ("test_convnext", (48, 64)),
    ],
)
def test_the_branch_stands_beside_the_global_feature(backbone, channels, make_embedder, large):
    embedder = make_embedder(backbone=backbone, local=LOCAL)
    alone = embedder.backbone.head_hidden_size
    assert embedder.width == alone + 3 * sum(channels)
    ready = (large.float() - embedder.mean) / embedder.std
    features = embedder._features(ready)
    torch.testing.assert_close(features[:, :alone], embedder.backbone(ready))
    _, maps = embedder.backbone.forward_intermediates(ready, indices=2)
    third, fourth = embedder.local.attentions.values()
    assert [m.shape[1:] for m in maps] == [(channels[0], 4, 6), (channels[1], 2, 3)]
    torch.testing.assert_close(features[:, alone:][:, : 3 * channels[0]], third(maps[0]))
    torch.testing.assert_close(features[:, -3 * channels[1] :], fourth(maps[1]))
    torch.testing.assert_close(embedder(large), embedder.neck(features))
    attention = embedder.attention(large)
    assert {stage: list(m.shape) for stage, m in attention.items()} == {
        3: [4, 3, 4, 6],
        4: [4, 3, 2, 3],
    }
    for stage in attention.values():
        torch.testing.assert_close(stage.sum((2, 3)), torch.ones(4, 3))
    torch.testing.assert_close(attention[4], fourth.attention(maps[1]))


def test_stages_are_counted_from_the_end(make_embedder, images):
    convnext = make_embedder(backbone="test_convnext", local={"stages": [1, 2], "keypoints": 1})
    assert convnext.local.indices == [0, 1]  # four maps; a resnet's first is its stem's
    resnet = make_embedder(local={"stages": [1, 4], "keypoints": 1})
    assert resnet.local.indices == [1, 4]
    assert [m.shape[2] for m in resnet.attention(images).values()] == [8, 1]
    wide = make_embedder(backbone="resnet10t", backbone_options={"output_stride": 16}, local=LOCAL)
    assert [m.shape[2] for m in wide.attention(images).values()] == [2, 2]


def test_one_forward_of_the_backbone(make_embedder, images):
    embedder = make_embedder(local=LOCAL)
    calls = []
    embedder.backbone.conv1.register_forward_hook(lambda *_: calls.append(1))
    embedder(images)
    assert len(calls) == 1


def test_flatten_and_the_branch(images):
    values = {"backbone": "test_resnet", "pooling": "flatten", "preprocessing": {"size": 32}}
    embedder = Embedder(parse(ModelConfig, {**values, "embedding_size": 8, "local": LOCAL})).eval()
    assert embedder.width == 96 + 3 * (192 + 96)
    ready = (images.float() - embedder.mean) / embedder.std
    whole = embedder.backbone.forward_features(ready).flatten(1)
    torch.testing.assert_close(embedder._features(ready)[:, :96], whole)


def test_every_keypoint_learns(make_embedder, images):
    embedder = make_embedder(local=LOCAL).train()
    embedder(images.repeat_interleave(2, 2).repeat_interleave(2, 3)).square().mean().backward()
    for attention in embedder.local.attentions.values():
        assert (attention.block[3].weight.grad.abs().sum((1, 2, 3)) > 0).all()


def test_precision_and_layout(make_embedder, large):
    embedder = make_embedder(local=LOCAL)
    plain = embedder(large)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = embedder(large)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.1, atol=0.1)
    wide = embedder.to(memory_format=torch.channels_last)
    again = wide(large.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(again, plain, rtol=1e-4, atol=1e-5)
    assert wide.double()(large).dtype == torch.float64


def test_saved_and_loaded(make_embedder, images, tmp_path):
    embedder = make_embedder(local=LOCAL)
    identity = save_embedder(embedder, tmp_path / "m.safetensors", metric="cosine")
    loaded, card = load_embedder(tmp_path / "m.safetensors")
    assert torch.equal(loaded(images), embedder(images))
    assert card.config.local == KeypointConfig(stages=(3, 4), keypoints=3)
    assert identity == model_hash(loaded)


def test_model_hashes(make_embedder):
    plain = make_embedder()
    assert "local" not in plain.config.model_dump(exclude_defaults=True)
    assert not [name for name in plain.state_dict() if name.startswith("local")]
    kept = model_hash(make_embedder(local=LOCAL))
    assert kept == model_hash(make_embedder(local=LOCAL)) != model_hash(plain)
    moved = make_embedder(local=LOCAL)
    moved.local.attentions["stage4"].block[3].weight.data[0, 0] += 1e-3
    assert model_hash(moved) != kept


def test_without_feature_maps_that_shrink_it_is_refused(make_embedder):
    with pytest.raises(ConfigError) as error:
        make_embedder(backbone="test_vit", local=LOCAL)
    assert str(error.value) == (
        "model.local needs feature maps that shrink from stage to stage, as a resnet's do; "
        "backbone 'test_vit' has none: take another, or set model.local to null"
    )


def test_a_stage_that_is_not_there_is_refused(make_embedder):
    with pytest.raises(ConfigError) as error:
        make_embedder(
            backbone="levit_128s",
            preprocessing={"size": 224},
            local={"stages": [1], "keypoints": 1},
        )
    assert str(error.value) == (
        "model.local: backbone 'levit_128s' has 3 feature maps, so its stages are 2 to 4, without "
        "stage 1"
    )


@pytest.mark.parametrize("stages", [[], [4, 3], [3, 3], [5], [0]])
def test_stages_that_cannot_be(stages):
    with pytest.raises(ConfigError, match=r"'local\.stages"):
        parse(ModelConfig, {"local": {"stages": stages}})


def test_a_model_without_keypoints_does_not_look_anywhere(make_embedder, images):
    with pytest.raises(ModelError) as error:
        make_embedder().attention(images)
    assert str(error.value) == ("this model has no keypoints: it was trained without model.local")


def test_a_keypoint_for_each_channel_pools_that_channel():
    torch.manual_seed(0)
    part = KeypointAttention(5, None).double().eval()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    maps, scores = x.numpy(), part.block(x).detach().numpy()
    wanted = np.zeros((2, 5))
    for b in range(2):
        for c in range(5):
            total = sum(math.exp(scores[b, c, i, j]) for i in range(3) for j in range(4))
            for i in range(3):
                for j in range(4):
                    wanted[b, c] += math.exp(scores[b, c, i, j]) / total * maps[b, c, i, j]
    np.testing.assert_allclose(part(x).detach(), wanted, rtol=1e-10)
    assert list(part.attention(x).shape) == [2, 5, 3, 4]


def test_the_pairing_is_part_of_the_model(make_embedder, large, tmp_path):
    paired = make_embedder(backbone="test_resnet", local={"stages": [3, 4], "pairing": "channel"})
    assert paired.width == paired.backbone.head_hidden_size + 192 + 96
    save_embedder(paired, tmp_path / "model.safetensors", metric="cosine")
    loaded, _ = load_embedder(tmp_path / "model.safetensors")
    torch.testing.assert_close(loaded(large), paired.eval()(large))
    assert "pairing" not in KeypointConfig().model_dump(exclude_defaults=True)
    with pytest.raises(ConfigError, match=r"pairing 'channel'.*omit keypoints"):
        parse(ModelConfig, {"local": {"pairing": "channel", "keypoints": 4}})
