import pytest
import torch

from facever.config import parse
from facever.errors import ConfigError, ModelError
from facever.models import Embedder, ModelConfig


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_mambaout"])
@pytest.mark.parametrize("neck", ["linear_bn", "bnneck"])
def test_embeds(backbone, neck, make_embedder, images):
    embedder = make_embedder(backbone=backbone, neck=neck)
    assert embedder.width == embedder.backbone.head_hidden_size
    embeddings = embedder(images)
    assert embeddings.shape == (4, 8)
    assert embeddings.dtype == torch.float32
    assert not torch.allclose(embeddings.norm(dim=1), torch.ones(4), atol=0.1)
    units = embedder.embed(images)
    torch.testing.assert_close(units.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(units * embeddings.norm(dim=1, keepdim=True), embeddings)


def test_uint8_is_normalised_with_mean_and_std(make_embedder, images):
    embedder = make_embedder()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]))
    ready = (images.float() / 255 - mean) / std
    torch.testing.assert_close(embedder(images), embedder(ready), rtol=1e-4, atol=1e-5)
    assert embedder(images).std(0).max() > 0.01  # the comparison is not of constants


def test_mean_and_std_are_no_weights(make_embedder):
    embedder = make_embedder()
    assert not {"mean", "std"} & (embedder.state_dict().keys() | dict(embedder.named_parameters()))


def test_the_output_is_float32_under_autocast_and_float64_in_float64(make_embedder, images):
    embedder = make_embedder()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = embedder(images)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, embedder(images), rtol=0.1, atol=0.1)
    assert not torch.equal(half, embedder(images))
    assert embedder.double()(images).dtype == torch.float64


def test_necks(make_embedder):
    def parts(**values):
        return [type(part).__name__ for part in make_embedder(**values).neck]

    assert parts(neck="linear_bn", embedding_size=96) == ["Linear", "BatchNorm1d"]
    assert parts(neck="bnneck", embedding_size=96) == ["BatchNorm1d"]
    assert parts(neck="bnneck", embedding_size=8) == ["Linear", "BatchNorm1d"]
    assert parts(neck="none", embedding_size=96) == []
    assert parts(dropout=0.5) == ["Dropout", "Linear", "BatchNorm1d"]
    assert make_embedder().neck.linear.bias is None


def test_bnneck_has_no_shift(make_embedder):
    shift = make_embedder(neck="bnneck").neck.norm.bias
    assert not shift.requires_grad
    assert not shift.any()
    assert make_embedder(neck="linear_bn").neck.norm.bias.requires_grad


def test_without_a_neck_the_size_is_the_backbones(make_embedder):
    with pytest.raises(ConfigError) as error:
        make_embedder(neck="none", embedding_size=64)
    assert str(error.value) == (
        "neck 'none' gives the 96 features of backbone 'test_resnet', not embedding_size 64: set "
        "embedding_size to 96, or another neck"
    )


def test_one_image_cannot_train_a_batch_norm(make_embedder, images):
    embedder = make_embedder().train()
    with pytest.raises(ModelError, match=r"^BatchNorm cannot train on a batch of one image: use"):
        embedder(images[:1])
    assert embedder(images[:2]).shape == (2, 8)
    assert embedder.eval()(images[:1]).shape == (1, 8)
    without = make_embedder(backbone="test_vit", neck="none", embedding_size=64).train()
    assert without(images[:1]).shape == (1, 64)


@pytest.mark.parametrize("shape", [(4, 1, 32, 32), (3, 32, 32)])
def test_other_shapes_are_refused(shape, make_embedder):
    with pytest.raises(ModelError) as error:
        make_embedder()(torch.zeros(shape))
    assert str(error.value) == f"images must be [B, 3, H, W], not {list(shape)}"


def test_a_backbone_without_pooling_is_refused(make_embedder):
    with pytest.raises(ModelError, match=r"^backbone 'test_resnet' gives \[4, 96, .* is needed: "):
        make_embedder(backbone_options={"global_pool": ""})


def test_options_reach_the_backbone(make_embedder):
    assert make_embedder(backbone_options={"drop_rate": 0.25}).backbone.drop_rate == 0.25
    with pytest.raises(ConfigError, match=r"backbone_options': num_classes is set by facever"):
        make_embedder(backbone_options={"num_classes": 3})


def test_dropout_works_in_training_only(make_embedder, images):
    embedder: Embedder = make_embedder(neck="none", embedding_size=96, dropout=0.5)
    assert torch.equal(embedder(images), embedder(images))
    assert (embedder.neck.train()(torch.ones(4, 96)) == 0).any()


def flattening(backbone="test_resnet"):
    values = {"backbone": backbone, "pooling": "flatten", "preprocessing": {"size": 64}}
    return Embedder(parse(ModelConfig, {**values, "embedding_size": 8}))


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_flatten_keeps_places_apart(backbone, images):
    embedder = flattening(backbone).eval()
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    ready = (large.float() - embedder.mean) / embedder.std
    whole = embedder.backbone.forward_features(ready).flatten(1)
    assert embedder.width == whole.shape[1] > embedder.backbone.head_hidden_size
    torch.testing.assert_close(embedder(large), embedder.neck(whole))


def test_a_flattened_map_belongs_to_one_size():
    with pytest.raises(ModelError, match=r"is needed: images of \(64, 64\) pixels"):
        flattening()(torch.zeros(2, 3, 128, 128))


def test_trying_the_width_out_leaves_no_trace():
    backbone = flattening().backbone
    assert backbone.training
    assert not backbone.bn1.running_mean.any()


def test_what_the_neck_normalises(make_embedder, images):
    for neck in ("linear_bn", "bnneck"):
        embedder = make_embedder(neck=neck)
        ready = (images.float() - embedder.mean) / embedder.std
        before, after = embedder.around_norm(images)
        torch.testing.assert_close(before, embedder.neck.linear(embedder.backbone(ready)))
        assert torch.equal(after, embedder(images))
        assert torch.equal(after, embedder.neck.norm(before))
    wide = make_embedder(neck="bnneck", embedding_size=96)  # BatchNorm on the pooled features
    torch.testing.assert_close(wide.around_norm(images)[0], wide.backbone(ready))


@pytest.mark.parametrize("neck", ["linear", "none"])
def test_a_neck_without_norm_gives_the_embeddings_twice(neck, make_embedder, images):
    before, after = make_embedder(neck=neck, embedding_size=96).around_norm(images)
    assert torch.equal(before, after)


def test_last_stride_one_doubles_the_last_map(make_embedder, images):
    """The strong ReID baseline's last stride, as timm's option has it."""
    plain = make_embedder(backbone="resnet10t")
    wide = make_embedder(backbone="resnet10t", backbone_options={"output_stride": 16})
    sides = [e.backbone.forward_features(images.float()).shape[2] for e in (plain, wide)]
    assert sides == [1, 2]
    assert {k: v.shape for k, v in plain.state_dict().items()} == {
        k: v.shape for k, v in wide.state_dict().items()
    }
