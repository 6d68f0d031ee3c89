import pytest
import torch

from facever.errors import ConfigError, TrainingError
from facever.heads import WeightedSum, create_head


@pytest.fixture
def parts():
    torch.manual_seed(0)
    return [
        create_head("softmax", embedding_size=5, identities=7, weight=0.5, bias=True),
        create_head("cosine", embedding_size=5, identities=7),
        create_head("cosine", embedding_size=5, identities=7, scale=20, weight=3),
    ]


def test_sums_the_weighted_losses_and_keeps_the_parts(parts, batch):
    x, labels = batch[0].float(), batch[1]
    outputs = [part(x, labels) for part in parts]
    total = WeightedSum(parts)(x, labels)
    wanted = sum(w * out.loss.item() for w, out in zip((0.5, 1, 3), outputs, strict=True))
    assert total.loss.item() == pytest.approx(wanted)
    for name, output in zip(("softmax", "cosine", "cosine_2"), outputs, strict=True):
        assert total.stats[f"{name}/loss"] == output.loss
        for stat, value in output.stats.items():
            assert total.stats[f"{name}/{stat}"] == value
    assert len(total.stats) == 3 + sum(len(output.stats) for output in outputs)


def test_one_head_is_itself(parts, batch):
    x, labels = batch[0].float(), batch[1]
    total = WeightedSum(parts[1:2])(x, labels)
    assert total.loss == parts[1](x, labels).loss
    assert set(total.stats) == {f"cosine/{stat}" for stat in parts[1](x, labels).stats}


def test_declares_what_the_first_or_the_most_demanding_head_does(parts):
    total = WeightedSum(parts)
    assert total.metric == "dot"
    assert total.images_per_identity == 1
    assert total.prototypes is parts[0].prototypes
    assert total.no_weight_decay() == {"parts.softmax.bias", "parts.cosine.learned_scale"}
    assert total.no_weight_decay() <= dict(total.named_parameters()).keys()


def test_a_helper_never_decides_what_is_compared_by():
    center = create_head("center", embedding_size=5, identities=7, weight=0.008)
    assert center.metric == "euclidean"
    cosface = create_head("cosface", embedding_size=5, identities=7)
    drawn = create_head("reconstruction", embedding_size=5, identities=7)
    for heads in ([center, cosface], [cosface, center], [center, drawn], [drawn, center]):
        assert WeightedSum(heads).metric == "cosine"


def test_tells_each_head_that_a_step_is_done(parts):
    total = WeightedSum(parts)
    with torch.no_grad():
        parts[1].learned_scale.fill_(-1)
    total.step_completed()
    assert parts[1].learned_scale.item() == pytest.approx(0.01)


def test_state_dict_round_trip(parts, batch):
    x, labels = batch[0].float(), batch[1]
    total = WeightedSum(parts)
    before, state = (
        total(x, labels).loss.item(),
        {k: v.clone() for k, v in total.state_dict().items()},
    )
    with torch.no_grad():
        for parameter in total.parameters():
            parameter.add_(1)
    assert total(x, labels).loss.item() != before
    total.load_state_dict(state)
    assert total(x, labels).loss.item() == before


def test_no_head_is_refused():
    with pytest.raises(ConfigError, match=r"^a training needs at least one head$"):
        WeightedSum([])


def test_heads_that_learn_from_more_than_labels(batch):
    x, labels = batch[0].float(), batch[1]
    drawn = create_head("reconstruction", embedding_size=5, identities=7, size=8, weight=0.1)
    plain = create_head("softmax", embedding_size=5, identities=7)
    total = WeightedSum([drawn, plain])
    assert total.metric == "dot"  # of the head that learns from labels
    assert WeightedSum([drawn]).metric == "cosine"
    images = torch.rand(6, 3, 8, 8)
    output = total(x, labels, {"reconstruction": images})
    wanted = 0.1 * drawn(x, images).loss + plain(x, labels).loss
    assert output.loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    with pytest.raises(TrainingError) as error:
        total(x, labels)
    assert "head 'reconstruction'" in str(error.value)
    assert "thumbnails: pass targets=" in str(error.value)


def test_heads_before_the_norm_get_what_it_is_given(batch):
    x, labels = batch[0].float(), batch[1]
    before = x * 2 + 1
    torch.manual_seed(0)
    heads = [
        create_head("cosine", embedding_size=5, identities=7, input="before_norm"),
        create_head("softmax", embedding_size=5, identities=7),
        create_head("center", embedding_size=5, identities=7, input="before_norm", weight=0.5),
    ]
    total = WeightedSum(heads)
    output = total(x, labels, None, before)
    wanted = heads[0](before, labels).loss + heads[1](x, labels).loss
    assert output.loss.item() == pytest.approx(wanted.item())  # no centre is known yet
    total.step_completed()
    third = heads[2](before, labels).loss
    assert third > 0
    torch.testing.assert_close(total(x, labels, None, before).loss, wanted + 0.5 * third)
    assert total.metric == "dot"  # the first head judges another place
    assert total.prototypes is heads[1].prototypes


def test_what_the_norm_is_given_must_be_given(batch):
    total = WeightedSum(
        [create_head("cosine", embedding_size=5, identities=7, input="before_norm")]
    )
    assert total.metric == "cosine"
    with pytest.raises(TrainingError) as error:
        total(batch[0].float(), batch[1])
    assert "head 'cosine' has input: before_norm" in str(error.value)
    assert "pass before_norm" in str(error.value)
