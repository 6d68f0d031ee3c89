import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from facever.heads import create_head
from facever.heads.classes.similarities import KernelSimilarity, squared_distances
from facever.heads.classes.vectors import EPSILON


class Largest(TorchDispatchMode):
    """Remembers the most elements that any tensor had."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def distance(a, b):
    return sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("gamma", [3.0, "median"])
def test_value(gamma, normalize, make_head, agrees, cross_entropy_oracle):
    head = make_head("rbf", gamma=gamma, normalize=normalize, scale=9.0)
    width = None if gamma == "median" else gamma

    def oracle(x, W, labels):
        nonlocal width
        if normalize:
            x = [v / math.sqrt(sum(float(c) ** 2 for c in v) + EPSILON) for v in x]
        squares = [[distance(v, w) for w in W] for v in x]
        if width is None:  # 42 distances: the lower of the two in the middle
            width = float(np.float32(sorted(d for row in squares for d in row)[20]))
            head.data_gamma.fill_(width)  # as it would be with float32 buffers
        losses = [
            cross_entropy_oracle([9.0 * math.exp(-d / width) for d in row], y)
            for row, y in zip(squares, labels, strict=True)
        ]
        return sum(losses) / len(losses)

    agrees(head, oracle)


def median(x, head):
    """The lower of the two in the middle of 42 squared distances."""
    W = head.prototypes.weight.detach()
    return torch.cdist(x, W).square().flatten().sort().values[20].item()


def test_gamma_follows_the_batches_of_its_updates_and_stays(make_head, batch):
    head = make_head("rbf", gamma_updates=3)
    x, labels = batch
    expected = median(x, head)
    for factor in (1, 3, 5):  # each update: its median counts for a tenth of the next gamma
        for _ in range(2):  # however often a batch is looked at
            head(factor * x, labels)
            assert head.gamma.item() == pytest.approx(expected, rel=1e-5)
        head.eval()
        head(99 * x, labels)  # no part of the training
        head.train()
        head.step_completed()
        if factor > 1:  # the first batch is where it starts
            expected += 0.1 * (median(factor * x, head) - expected)
    head(99 * x, labels)
    head.step_completed()
    assert head.gamma.item() == pytest.approx(expected, rel=1e-5)


def test_a_gamma_that_follows_goes_on_from_a_state(make_head, batch):
    whole, first, rest = (make_head("rbf", gamma_updates=4) for _ in range(3))
    for head in (first, rest):
        head.load_state_dict(whole.state_dict())

    def update(head, number):
        head((1 + number) * batch[0], batch[1])
        head.step_completed()

    for number in range(6):
        update(whole, number)
    for number in range(2):
        update(first, number)
    rest.load_state_dict(first.state_dict())
    for number in range(2, 6):
        update(rest, number)
    assert rest.gamma == whole.gamma
    assert rest.state_dict()["followed"] == 6 or rest.state_dict()["followed"] == 4


def test_runs_from_before_gamma_followed_load_and_keep_theirs(make_head, batch):
    """Their configurations say gamma: median, and their states have data_gamma alone."""
    head = make_head("rbf", gamma="median")
    assert {"data_gamma", "prototypes.weight"} == set(head.state_dict())
    head(*batch)
    gamma = head.gamma.clone()
    for _ in range(3):
        head.step_completed()
        head(5 * batch[0], batch[1])
    assert head.gamma == gamma


def test_gamma_is_the_median_of_the_first_batch_and_stays(make_head, batch):
    head = make_head("rbf", gamma="median")
    assert head.gamma.isnan()
    W = head.prototypes.weight.detach()
    wanted = torch.cdist(batch[0], W).square().flatten().sort().values[20]
    head(*batch)
    assert head.gamma.item() == pytest.approx(wanted.item())
    head(5 * batch[0], batch[1])
    assert head.gamma.item() == pytest.approx(wanted.item())


def test_a_loaded_gamma_is_not_measured_again(make_head, batch):
    head, other, fresh = (make_head("rbf") for _ in range(3))
    unused = {key: value.clone() for key, value in fresh.state_dict().items()}
    head(*batch)
    other.load_state_dict(head.state_dict())
    other(5 * batch[0], batch[1])
    assert other.gamma == head.gamma
    head.load_state_dict(unused)
    head(5 * batch[0], batch[1])
    assert head.gamma > 2 * other.gamma


def test_all_at_one_point_is_no_division_by_zero(make_head):
    head = make_head("rbf")
    torch.nn.init.zeros_(head.prototypes.weight)
    assert head(torch.zeros(2, 5), torch.tensor([0, 1])).loss.item() == pytest.approx(math.log(7))


def test_a_dead_start_is_said_once(make_head, batch, capsys):
    head = make_head("rbf", gamma=0.5)
    ratio = squared_distances(batch[0], head.prototypes.weight.detach()).mean().item() / 0.5
    for _ in range(2):
        head(*batch)
    assert capsys.readouterr().err == (
        f"warning: head 'rbf': the squared distances of the first batch are {ratio:.0f} times "
        "gamma 0.5 on average, so K is near 0 for every identity and hardly anything is learned: "
        "use gamma: following, or normalize: true\n"
    )
    assert ratio > 10


def test_wide_features_start_dead_with_the_papers_gamma_and_alive_with_the_medians(capsys):
    torch.manual_seed(0)
    x, labels = torch.randn(16, 512), torch.arange(16)
    fixed, median, unit = (
        create_head("rbf", embedding_size=512, identities=100, **parameters)
        for parameters in ({"gamma": 16.0}, {}, {"gamma": 4.0, "normalize": True})
    )
    assert fixed(x, labels).stats["distance_over_gamma"] > 30
    assert "hardly anything is learned" in capsys.readouterr().err
    for head in (median, unit):
        output = head(x, labels)
        output.loss.backward()
        assert output.stats["distance_over_gamma"] < 2
        assert head.prototypes.weight.grad.abs().max() > 1e-4
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("scale", "best"), [(1.0, 0.23), (4.0, 0.858), (10.0, 0.9996)])
def test_the_scale_bounds_the_probability(scale, best):
    head = create_head("rbf", embedding_size=10, identities=10, scale=scale, gamma=1.0)
    with torch.no_grad():
        head.prototypes.weight.copy_(1000 * torch.eye(10))
    loss = head(1000 * torch.eye(10), torch.arange(10)).loss.item()
    assert loss == pytest.approx(math.log(1 + 9 * math.exp(-scale)), abs=1e-6)
    assert math.exp(-loss) == pytest.approx(best, abs=0.003)


def test_far_prototypes_have_no_denormals(make_head):
    head = make_head("rbf", gamma=1.0, scale=55.0).float()
    with torch.no_grad():  # distances up to e^-100 in K, and gradients of e^-55 times a small K
        at = torch.tensor([0, 2, 4, 6, 6.5, 10, 12])
        head.prototypes.weight.copy_(at[:, None] * torch.eye(1, 5))
    x = torch.zeros(1, 5, requires_grad=True)
    output = head(x, torch.tensor([0]))
    output.loss.backward()
    kernel = KernelSimilarity(55.0, torch.tensor(1.0))
    weight = head.prototypes.weight.detach()
    z = kernel.block(x.detach(), weight, kernel.lengths(weight), None)
    for found in (z, x.grad, head.prototypes.weight.grad):
        assert ((found == 0) | (found.abs() > 1e-30)).all()
    assert output.loss.isfinite()


def test_cancellation_makes_no_distance_negative():
    x = 1000 + torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    products = x.square().sum(1)[:, None] + x.square().sum(1) - 2 * x @ x.T
    assert products.min() < 0
    assert squared_distances(x, x).min() == 0


def test_stats_and_metric(make_head, batch):
    head = make_head("rbf", gamma=8.0)
    assert (head.metric, make_head("rbf", normalize=True).metric) == ("euclidean", "cosine")
    with torch.no_grad():
        head.prototypes.weight[2] = batch[0][2]
    output = head(*batch)
    x, W = batch[0].numpy(), head.prototypes.weight.detach().numpy()
    squares = np.array([[distance(v, w) for w in W] for v in x])
    hits = squares.argmin(1) == batch[1].numpy()
    assert {key: value.item() for key, value in output.stats.items()} == pytest.approx(
        {
            "accuracy": hits.mean(),
            "distance_over_gamma": squares.mean() / 8,
            "embedding_norm": np.linalg.norm(x, axis=1).mean(),
            "prototype_norm": np.linalg.norm(W, axis=1).mean(),
            "scale": 14.0,
        },
        rel=1e-6,
    )
    assert 0 < hits.mean() < 1
    far = head(1e3 * batch[0], batch[1])  # every K the same: nobody is the nearest
    assert far.stats["accuracy"] == 0


def test_starts_from_xavier():
    head = create_head("rbf", embedding_size=30, identities=500)
    bound = math.sqrt(6 / 530)
    largest = head.prototypes.weight.abs().max().item()
    assert 0.99 * bound < largest <= bound


def test_nothing_of_batch_times_identities_times_components():
    head = create_head("rbf", embedding_size=32, identities=50)
    x = torch.randn(16, 32, requires_grad=True)
    with Largest() as seen:
        head(x, torch.arange(16)).loss.backward()
    assert seen.elements <= 50 * 32


def test_in_pieces_it_is_the_same(monkeypatch, make_head, batch):
    head = make_head("rbf", gamma=4.0)
    x = batch[0].requires_grad_()
    inputs = [x, head.prototypes.weight]
    whole = torch.autograd.grad(head(x, batch[1]).loss, inputs)
    in_pieces = lambda rows, width, device: (slice(i, i + 3) for i in range(0, rows, 3))  # noqa: E731
    monkeypatch.setattr("facever.heads.rbf.blocks", in_pieces)
    for a, b in zip(whole, torch.autograd.grad(head(x, batch[1]).loss, inputs), strict=True):
        torch.testing.assert_close(a, b)
