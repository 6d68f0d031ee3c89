import pytest
import torch

from facever.heads import create_head


@pytest.mark.parametrize("scale", ["learned", 25.0])
def test_value(scale, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    head = make_head("cosine", scale=scale)
    factor = 10.0 if scale == "learned" else scale  # a learned scale starts at 10

    def oracle(x, W, labels):
        losses = [
            cross_entropy_oracle([factor * cosine_oracle(x[i], w) for w in W], y)
            for i, y in enumerate(labels)
        ]
        return sum(losses) / len(losses)

    agrees(head, oracle)


def test_stats(make_head, batch, cosine_oracle):
    head = make_head("cosine")
    x, labels = batch
    W = head.prototypes.weight.detach()
    cosines = [[cosine_oracle(a.numpy(), w.numpy()) for w in W] for a in x]
    own = [row[y] for row, y in zip(cosines, labels, strict=True)]
    wrong = [
        max(c for j, c in enumerate(r) if j != y) for r, y in zip(cosines, labels, strict=True)
    ]
    stats = {key: value.item() for key, value in head(*batch).stats.items()}
    assert stats == pytest.approx(
        {
            "target_cosine": sum(own) / 6,
            "hardest_wrong_cosine": sum(wrong) / 6,
            "accuracy": sum(a > b for a, b in zip(own, wrong, strict=True)) / 6,
            "embedding_norm": x.norm(dim=1).mean().item(),
            "prototype_norm": W.norm(dim=1).mean().item(),
            "scale": 10.0,
        },
        rel=1e-6,
    )


def test_a_learned_scale_has_a_floor_and_comes_back_from_it(make_head, batch):
    head = make_head("cosine")
    with torch.no_grad():
        head.learned_scale.fill_(0.01)
    at_floor = head(*batch).loss
    with torch.no_grad():
        head.learned_scale.fill_(-3.0)
    assert head(*batch).loss == at_floor
    head.step_completed()
    assert head.learned_scale.item() == 0.01
    labels = batch[1]
    own = head.prototypes.weight.detach()[labels]  # each on its prototype: the scale should rise
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        head(own, labels).loss.backward()
        optimizer.step()
        head.step_completed()
    assert head.learned_scale > 0.02
    assert head.no_weight_decay() == {"learned_scale"}


def test_a_fixed_scale_is_no_parameter(make_head):
    assert [name for name, _ in make_head("cosine", scale=25.0).named_parameters()] == [
        "prototypes.weight"
    ]


def test_a_scale_too_small_for_the_identities_is_said(capsys):
    create_head("cosine", embedding_size=4, identities=1000, scale=11.6)
    assert capsys.readouterr().err == ""
    create_head("cosine", embedding_size=4, identities=1000, scale=4)
    assert capsys.readouterr().err == (
        "warning: head 'cosine': with scale 4 and 1000 identities the loss cannot fall below 2.96, "
        "however good the embeddings; 0.01 needs a scale of 11.5 or more\n"
    )
