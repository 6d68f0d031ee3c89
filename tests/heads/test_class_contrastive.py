import pytest
import torch


@pytest.mark.parametrize("reduction", ["sum", "mean", "hardest"])
@pytest.mark.parametrize("margin", [1.0, 3.5])
def test_value(reduction, margin, make_head, agrees, cosine_oracle):
    head = make_head("class_contrastive", margin=margin, reduction=reduction)

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            squares = [2 - 2 * cosine_oracle(x[i], w) for w in W]
            costs = [max(0.0, margin - d) for j, d in enumerate(squares) if j != y]
            wrong = {"sum": sum(costs), "mean": sum(costs) / 6, "hardest": max(costs)}
            total += squares[y] + wrong[reduction]
        return total / len(labels)

    agrees(head, oracle)


def test_squared_distances_are_those_of_unit_vectors(make_head, batch):
    head = make_head("class_contrastive", margin=4.0, reduction="sum")
    unit = torch.nn.functional.normalize
    squares = torch.cdist(unit(batch[0]), unit(head.prototypes.weight.detach())).square()
    own = torch.nn.functional.one_hot(batch[1], 7).bool()
    wanted = torch.where(own, squares, 4 - squares).sum(1).mean()
    assert head(*batch).loss.item() == pytest.approx(
        wanted.item(), rel=1e-5
    )  # up to NormFace's eps


def test_stats(make_head, batch, cosine_oracle):
    output = make_head("class_contrastive")(*batch)
    W = make_head("class_contrastive").prototypes.weight.detach().numpy()
    x, labels = batch[0].numpy(), batch[1].tolist()
    near = [
        2 - 2 * cosine_oracle(x[i], W[j]) < 1
        for i, y in enumerate(labels)
        for j in range(7)
        if j != y
    ]
    assert 0 < sum(near) < 36
    assert output.stats["active"].item() == pytest.approx(sum(near) / 36)
    hardest = make_head("class_contrastive", reduction="hardest")(*batch).stats
    wanted = [
        max(cosine_oracle(x[i], W[j]) for j in range(7) if j != y) for i, y in enumerate(labels)
    ]
    assert hardest["hardest_wrong_cosine"].item() == pytest.approx(sum(wanted) / 6)
    assert hardest["active"].item() == pytest.approx(sum(c > 0.5 for c in wanted) / 6)


def test_at_the_own_prototype_and_far_from_the_others_there_is_no_loss(make_head):
    head = make_head("class_contrastive", identities=5)
    with torch.no_grad():
        head.prototypes.weight.copy_(1000 * torch.eye(5))
    output = head(1000 * torch.eye(5, dtype=torch.float64), torch.arange(5))
    assert output.loss.item() == pytest.approx(0, abs=1e-9)
    assert output.stats["accuracy"] == 1
    assert output.stats["active"] == 0
