import math

import numpy as np
import pytest
import torch

from facever.errors import ConfigError
from facever.heads import create_head


def draws(head, steps):
    """Return the identities drawn in each of the coming steps, and come back to the first."""
    state, found = head.sampler.get_extra_state(), []
    for _ in range(steps):
        found.append(set(head.sampler.draw().tolist()))
        head.step_completed()
    head.sampler.set_extra_state(state)
    return found


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("log_q", [True, False])
@pytest.mark.parametrize("negatives", [1, 3, 5])
def test_value(
    similarity, log_q, negatives, make_head, agrees, cosine_oracle, cross_entropy_oracle
):
    head = make_head("sampled_softmax", similarity=similarity, log_q=log_q, negatives=negatives)
    hits = 0
    for drawn in draws(head, 4):

        def oracle(x, W, labels, drawn=drawn):
            nonlocal hits
            total = 0.0
            for i, y in enumerate(labels):
                hits += y in drawn
                logits = []
                for j in [y, *(j for j in drawn if j != y)]:
                    if similarity == "cosine":
                        logit = 30.0 * cosine_oracle(x[i], W[j])
                    else:
                        logit = sum(float(a) * float(b) for a, b in zip(x[i], W[j], strict=True))
                    expected = negatives / 7 if j != y else 1.0
                    logits.append(logit - (math.log(expected) if log_q else 0.0))
                total += cross_entropy_oracle(logits, 0)
            return total / len(labels)

        agrees(head, oracle)
        head.step_completed()
    assert hits  # accidental hits among the cases


@pytest.mark.parametrize("log_q", [True, False])
@pytest.mark.parametrize(
    ("similarity", "full"), [("cosine", ("cosine", {"scale": 30.0})), ("dot", ("softmax", {}))]
)
def test_a_sample_of_all_is_the_full_softmax(similarity, log_q, full, make_head, batch):
    sampled = make_head("sampled_softmax", negatives=7, similarity=similarity, log_q=log_q)
    whole = make_head(full[0], **full[1])
    whole.prototypes.load_state_dict(sampled.prototypes.state_dict())
    losses = [head(*batch).loss for head in (sampled, whole)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-12)
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(
        sampled.prototypes.weight.grad, whole.prototypes.weight.grad, rtol=1e-10, atol=1e-14
    )


def exponentials(head, batch):
    """Return per image sum_j e^(z_j - z_y), from its loss."""
    return np.array(
        [math.exp(head(x[None], y[None]).loss.item()) for x, y in zip(*batch, strict=True)]
    )


def test_with_log_q_the_sum_of_exponentials_is_unbiased(make_head, batch):
    few = (batch[0][:2], batch[1][:2])
    parameters = {"negatives": 2, "scale": 2.0}
    head, whole = make_head("sampled_softmax", **parameters), make_head("cosine", scale=2.0)
    whole.prototypes.load_state_dict(head.prototypes.state_dict())
    wanted = exponentials(whole, few)
    found = []
    for _ in range(300):
        found.append(exponentials(head, few))
        head.step_completed()
    error = np.std(found, axis=0) / math.sqrt(len(found))
    assert (abs(np.mean(found, axis=0) - wanted) < 4 * error).all()
    assert (error < 0.1 * wanted).all()
    plain = make_head("sampled_softmax", log_q=False, **parameters)
    found = []
    for _ in range(100):
        found.append(exponentials(plain, few))
        plain.step_completed()
    assert (np.mean(found, axis=0) < 0.7 * wanted).all()


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_only_drawn_and_own_prototypes_have_a_gradient(similarity, make_head, batch):
    head = make_head("sampled_softmax", identities=40, negatives=5, similarity=similarity)
    (drawn,) = draws(head, 1)
    head(*batch).loss.backward()
    moved = set(head.prototypes.weight.grad.abs().sum(1).nonzero()[:, 0].tolist())
    assert moved == drawn | set(batch[1].tolist())


def test_a_resume_draws_the_same(make_head):
    head = make_head("sampled_softmax", negatives=3)
    for _ in range(5):
        head.step_completed()
    torch.manual_seed(1)
    other = create_head("sampled_softmax", embedding_size=5, identities=7, negatives=3)
    assert draws(other, 6) != draws(head, 6)
    other.load_state_dict(head.state_dict())
    assert draws(other, 6) == draws(head, 6)


def test_metric_and_scale(make_head, batch, capsys):
    dot, cosine = (make_head("sampled_softmax", similarity=kind) for kind in ("dot", "cosine"))
    assert (dot.metric, cosine.metric) == ("dot", "cosine")
    assert "scale" not in dot(*batch).stats
    assert cosine(*batch).stats["scale"] == 30
    with pytest.raises(ConfigError) as error:
        make_head("sampled_softmax", similarity="dot", scale=30.0)
    assert str(error.value) == (
        "head 'sampled_softmax': scale is the factor of cosines; similarity 'dot' takes none"
    )
    capsys.readouterr()
    few = {"embedding_size": 4, "identities": 1000, "negatives": 9, "scale": 8.0}
    create_head("sampled_softmax", log_q=False, **few)
    assert capsys.readouterr().err == ""
    create_head("sampled_softmax", **few)
    assert "with scale 8 and 1000 identities" in capsys.readouterr().err


def test_stats(make_head, batch, cosine_oracle):
    head = make_head("sampled_softmax", negatives=2)
    with torch.no_grad():
        head.prototypes.weight[2] = batch[0][batch[1] == 2].mean(0)
    (drawn,) = draws(head, 1)
    x, labels = batch[0].numpy(), batch[1].tolist()
    W = head.prototypes.weight.detach().numpy()
    seen = sorted(drawn | set(labels))
    right = [
        y == max(seen, key=lambda j, i=i: cosine_oracle(x[i], W[j])) for i, y in enumerate(labels)
    ]
    stats = head(*batch).stats
    assert stats["accuracy"].item() == pytest.approx(sum(right) / 6)
    assert 0 < sum(right) < 6
    own = [cosine_oracle(x[i], W[y]) for i, y in enumerate(labels)]
    assert stats["target_cosine"].item() == pytest.approx(sum(own) / 6)
    norms = np.linalg.norm(W[seen], axis=1)
    assert stats["prototype_norm"].item() == pytest.approx(norms.mean(), rel=1e-6)
