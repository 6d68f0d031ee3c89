import pytest
import torch


@pytest.mark.parametrize("reduction", ["sum", "mean", "hardest"])
@pytest.mark.parametrize(("margin", "pull"), [(0.8, 0.0), (0.1, 0.0), (0.8, 0.5)])
def test_value(reduction, margin, pull, make_head, agrees, cosine_oracle, batch):
    head = make_head("class_triplet", margin=margin, reduction=reduction, pull=pull)
    with torch.no_grad():  # an image that is better than its margin
        head.prototypes.weight[0] = batch[0][0]
    kept = []

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            squares = [2 - 2 * cosine_oracle(x[i], w) for w in W]
            costs = [margin + squares[y] - d for j, d in enumerate(squares) if j != y]
            costs = [cost for cost in costs if cost > 0] or [0.0]
            wrong = {"sum": sum(costs), "mean": sum(costs) / len(costs), "hardest": max(costs)}
            total += wrong[reduction] + pull * squares[y]
            kept.append(costs == [0.0])
        return total / len(labels)

    agrees(head, oracle)
    assert any(kept) or margin == 0.8
    assert not all(kept)


def test_it_starts_near_its_margin_however_many_identities(make_head):
    head = make_head("class_triplet", identities=3000).float()
    torch.nn.init.normal_(head.prototypes.weight)
    labels = torch.arange(200)
    loss = head(torch.randn(200, 5, generator=torch.Generator().manual_seed(0)), labels).loss
    assert 0.8 < loss.item() < 2.4


def test_the_pull_goes_on_where_the_margin_is_kept(make_head):
    x = torch.tensor([[1.0, 0.3, 0, 0, 0]], dtype=torch.float64, requires_grad=True)
    for pull, moves in ((0.0, False), (0.5, True)):
        head = make_head("class_triplet", identities=2, pull=pull)
        with torch.no_grad():
            head.prototypes.weight.copy_(torch.eye(2, 5) * torch.tensor([[1.0], [-1.0]]))
        output = head(x, torch.tensor([0]))
        (gradient,) = torch.autograd.grad(output.loss, x)
        assert output.stats["active"] == 0
        assert bool((gradient != 0).any()) == moves


def test_active_is_the_share_of_triplets_that_violate(make_head, batch, cosine_oracle):
    head = make_head("class_triplet", margin=0.3)
    x, labels = batch[0].numpy(), batch[1].tolist()
    W = head.prototypes.weight.detach().numpy()
    violate = [
        [0.3 - 2 * cosine_oracle(x[i], W[y]) + 2 * cosine_oracle(x[i], W[j]) > 0]
        for i, y in enumerate(labels)
        for j in range(7)
        if j != y
    ]
    count = sum(v for (v,) in violate)
    assert 0 < count < 36
    assert head(*batch).stats["active"].item() == pytest.approx(count / 36)
