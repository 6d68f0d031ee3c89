import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from facever.heads import WeightedSum, create_head


def random_batches(count: int, images: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Embeddings float64 [images, 5], far from the origin, with labels 0..3, again and again."""
    draw = torch.Generator().manual_seed(11)
    return [
        (
            3 + torch.randn(images, 5, generator=draw, dtype=torch.float64),
            torch.randint(4, (images,), generator=draw),
        )
        for _ in range(count)
    ]


def step(head, *batches) -> torch.Tensor:
    """Run micro-batches and complete the step; return the last loss."""
    for x, labels in batches:
        loss = head(x.clone().requires_grad_(), labels).loss
        loss.backward()
    head.step_completed()
    return loss.detach()


def centers_oracle(steps, alpha: float, identities: int = 7) -> np.ndarray:
    """Equation 4, identity by identity; the mean where one is seen first."""
    centers = [None] * identities
    for x, labels in steps:
        for j in range(identities):
            own = [x[i] for i in range(len(x)) if labels[i] == j]
            if own and centers[j] is None:
                centers[j] = sum(own) / len(own)
            elif own:
                delta = sum(centers[j] - v for v in own) / (1 + len(own))
                centers[j] = centers[j] - alpha * delta
    return np.stack([np.zeros(5) if c is None else c for c in centers])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_value(reduction, make_head, agrees):
    head = make_head("center", reduction=reduction)
    step(head, *random_batches(2))
    centers, seen = head.centers.numpy().copy(), head.seen.tolist()
    assert [seen[j] for j in (0, 2, 6)] == [True, True, False]  # what the batch shows

    def oracle(x, W, labels):
        assert W is None
        total = 0.0
        for i, y in enumerate(labels):
            if seen[y]:
                total += sum((x[i][k] - centers[y][k]) ** 2 for k in range(5)) / 2
        return total / len(labels) if reduction == "mean" else total

    agrees(head, oracle)


@pytest.mark.parametrize("alpha", [0.5, 0.1])
def test_the_centres_follow_equation_4(alpha, make_head):
    head, steps = make_head("center", alpha=alpha), random_batches(4)
    for x, labels in steps:
        step(head, (x, labels))
    wanted = centers_oracle([(x.numpy(), y.numpy()) for x, y in steps], alpha)
    np.testing.assert_allclose(head.centers.numpy(), wanted, rtol=1e-12)


def test_one_update_per_step_from_all_micro_batches(make_head):
    (a, b, c, d) = random_batches(4)
    whole, parts = make_head("center"), make_head("center")
    for first, second in ((a, b), (c, d)):
        step(whole, tuple(torch.cat(both) for both in zip(first, second, strict=True)))
        step(parts, first, second)
    torch.testing.assert_close(parts.centers, whole.centers, rtol=1e-12, atol=0)
    before = parts.centers.clone()
    parts.step_completed()  # a step without a batch
    assert torch.equal(parts.centers, before)


def test_the_first_embeddings_seen_are_the_start_and_cost_nothing(make_head):
    head = make_head("center")
    x = torch.tensor([[4.0, 0, 0, 0, 0], [6, 0, 0, 0, 0], [0, 8, 0, 0, 0]]).double()
    labels = torch.tensor([1, 1, 5])
    assert step(head, (x, labels)) == 0
    assert head.centers[1].tolist() == [5, 0, 0, 0, 0]
    assert head.centers[5].tolist() == [0, 8, 0, 0, 0]
    output = head(x, labels)
    assert output.loss.item() == pytest.approx((0.5 + 0.5) / 3)
    assert output.stats["positive_distance"].item() == pytest.approx(2 / 3)
    with_a_new_one = head(x, torch.tensor([1, 1, 6])).stats
    assert with_a_new_one["positive_distance"].item() == pytest.approx(2 / 2)


def test_the_update_does_not_depend_on_the_weight(make_head, batch):
    light, heavy = make_head("center", weight=1e-3), make_head("center", weight=50.0)
    for head in (light, heavy):
        heads = WeightedSum([make_head("cosine"), head])
        for x, labels in random_batches(3):
            heads(x.clone().requires_grad_(), labels).loss.backward()
            heads.step_completed()
    assert torch.equal(light.centers, heavy.centers)
    assert light.centers[:4].abs().min() > 0


def test_evaluation_moves_no_centre(make_head):
    head, (first, second) = make_head("center"), random_batches(2)
    step(head, first)
    before = head.centers.clone()
    with torch.no_grad():
        head(*second)
    head.eval()
    head(*second)
    head.step_completed()
    assert torch.equal(head.centers, before)


def test_centres_are_state_and_no_parameters(make_head):
    head = make_head("center")
    assert list(head.parameters()) == []
    assert head.prototypes is None
    assert set(head.state_dict()) == {"centers", "seen"}


def _in_process(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=2, rank=rank)
    head = create_head("center", embedding_size=5, identities=7).double()
    for x, labels in random_batches(3, images=7):
        share = slice(0, 4) if rank == 0 else slice(4, 7)  # of different sizes
        step(head, (x[share], labels[share]))
    torch.save(head.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_keep_the_centres_of_one(make_head, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_in_process, (port, str(tmp_path)), nprocs=2)
    alone = make_head("center")
    for batch in random_batches(3, images=7):
        step(alone, batch)
    states = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for key, value in alone.state_dict().items():
        assert torch.equal(states[0][key], states[1][key])
        torch.testing.assert_close(states[0][key], value, rtol=1e-14, atol=0)
