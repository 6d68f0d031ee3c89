"""One step of adversarial training: who learns in which phase, from what, and by how much."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from facever.config import parse
from facever.core.processes import rank
from facever.core.seeding import stream
from facever.data.loading import Batch
from facever.errors import ConfigError, TrainingError
from facever.heads import create_head
from facever.heads.common.mining import Triplets, semi_hard
from facever.heads.weighted_sum import WeightedSum
from facever.training.computing.optimization import Schedule, ScheduleConfig
from facever.training.computing.precision import Precision
from facever.training.htg import losses
from facever.training.htg.config import AdversarialConfig
from facever.training.htg.normalization import BatchNorm
from facever.training.htg.step import AdversarialStep
from facever.training.supervision.targets import Targets
from tests.processes import in_processes

SIZE, IDENTITIES, EACH = 8, 8, 3
LABELS = torch.arange(IDENTITIES).repeat_interleave(EACH)
UPDATES = 8
SLOW = {"optimizer": {"name": "sgd", "lr": 0.01, "weight_decay": 0, "momentum": 0.5}}
FAST = {"optimizer": {"name": "adamw", "lr": 0.01}}


class Vectors(nn.Module):
    """An embedder of "images" that are vectors: one linear map, the identity at first."""

    embedding_size = SIZE

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(SIZE, SIZE, bias=False)
        self.norm = nn.BatchNorm1d(SIZE)
        nn.init.eye_(self.map.weight)
        self.calls = 0

    def around_norm(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        self.norm(images)  # its statistics show how often
        embeddings = self.map(images)
        return embeddings, embeddings


def images(number: int = 0, apart: float = 6.0, spread: float = 0.6) -> Tensor:
    """Return vectors of 8 identities; the first four lie far from the last four."""
    random = stream(7, "images")
    centres = random.standard_normal((IDENTITIES, SIZE))
    centres[:, 0] += [apart] * 4 + [-apart] * 4
    noise = stream(7, "noise", number).standard_normal((len(LABELS), SIZE))
    return torch.from_numpy(centres[LABELS] + spread * noise)


def batch(number: int = 0, rows: slice = slice(None)) -> Batch:
    x = images(number)[rows]
    return Batch(x, LABELS[rows], torch.arange(len(x)), [])


def make_step(
    heads: Sequence[str] = ("softmax",), clip: float | None = None, **config: Any
) -> AdversarialStep:
    torch.manual_seed(0)
    embedder = Vectors().double()
    sums = WeightedSum(
        [create_head(name, embedding_size=SIZE, identities=IDENTITIES) for name in heads], 4
    ).double()
    parameters = [*embedder.map.parameters(), *sums.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.5)
    schedule = Schedule(optimizer, ScheduleConfig(name="constant", warmup_epochs=0.0), 2, 4)
    step = AdversarialStep(
        *(embedder, sums, optimizer, schedule, Precision("fp32", torch.device("cpu"))),
        *(torch.contiguous_format, clip, Targets({}, {}, "")),
        config=parse(
            AdversarialConfig,
            {"pretraining": 0, "margin": 2.0, "generator": SLOW, "discriminator": SLOW, **config},
        ),
        epochs=2,
        updates_per_epoch=UPDATES // 2,
    )
    for player in (step.generator, step.discriminator):
        if player is not None:
            player.network.double()
    return step


def phases(step: AdversarialStep, apart: float = 6.0) -> tuple[Tensor, Tensor, Triplets, Tensor]:
    """Return features, labels, triplets and shares of a batch, as the phases take them."""
    features = images(apart=apart)
    triplets = step._miner(losses.square_distances(features), LABELS)
    return features, LABELS, triplets, losses.shares(triplets, len(LABELS), torch.float64)


def snapshot(step: AdversarialStep) -> dict[str, Any]:
    return copy.deepcopy(step.state_dict())


def changed(before: dict[str, Any], after: dict[str, Any], same: Callable[..., None]) -> set[str]:
    """Return the names of the parts that are not bit for bit the same."""
    found = set()
    for name in before:
        try:
            same(before[name], after[name])
        except AssertionError:
            found.add(name)
    return found


# ---------------------------------------------------------------------- frozen is frozen


def test_the_discriminators_phase_changes_the_discriminator_alone(assert_same) -> None:
    step = make_step()
    before = snapshot(step)
    features, labels, _, shares = phases(step)
    step._train_discriminator(features, labels, shares, 0)
    after = snapshot(step)
    assert changed(before, after, assert_same) == {"discriminator"}
    assert changed(before["discriminator"], after["discriminator"], assert_same) == {
        "network",
        "optimizer",
    }
    tracked = after["discriminator"]["network"]["layers.1.num_batches_tracked"]
    assert tracked == 2  # real and generated features are two batches
    assert all(parameter.grad is None for parameter in step.generator.network.parameters())


def test_the_generators_phase_changes_the_generator_alone(assert_same) -> None:
    step = make_step()
    before = snapshot(step)
    features, labels, triplets, shares = phases(step)
    step._train_generator(features, labels, triplets, shares, 0)
    after = snapshot(step)
    assert changed(before, after, assert_same) == {"generator"}
    assert after["generator"]["network"]["offset.1.num_batches_tracked"] == 1
    assert all(parameter.grad is None for parameter in step.discriminator.network.parameters())


def test_the_embedders_phase_changes_neither(assert_same) -> None:
    step = make_step()
    features, labels, triplets, shares = phases(step)
    step._train_discriminator(features, labels, shares, 0)
    step._train_generator(features, labels, triplets, shares, 0)
    before = snapshot(step)

    other = make_step()
    other.update([batch()], 0)
    after = snapshot(other)
    assert changed(before, after, assert_same) == {"embedder", "heads", "optimizer"}


def test_in_the_pretraining_the_embedder_alone_learns(assert_same) -> None:
    step = make_step(pretraining=0.5)
    assert step.pretraining == 4
    before = snapshot(step)
    stats = step.update([batch()], 3)
    assert changed(before, snapshot(step), assert_same) == {"embedder", "heads", "optimizer"}
    assert "adversarial/offset" not in stats
    stats = step.update([batch()], 4)
    assert "adversarial/offset" in stats
    assert changed(before, snapshot(step), assert_same) >= {"generator", "discriminator"}


def test_one_forward_pass_serves_all_phases() -> None:
    step = make_step()
    step.update([batch()], 0)
    assert step.embedder.calls == 1
    assert step.embedder.norm.num_batches_tracked == 1


# ---------------------------------------------------------------------- what they learn


def loop_of_triplets(x: Tensor, rows: list[tuple[int, int, int]], margin: float) -> Tensor:
    unit = x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()

    def d(i: int, j: int) -> Tensor:
        return (unit[i] - unit[j]).square().sum()

    return torch.stack([(margin + d(a, p) - d(a, n)).clamp_min(0) for a, p, n in rows]).mean()


def plain(network: nn.Module) -> nn.Module:
    """Return a copy with PyTorch's own BatchNorm, which always takes the batch's statistics."""
    mine = copy.deepcopy(network)
    for parent in list(mine.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, BatchNorm):
                norm = nn.BatchNorm1d(part.num_features).double()
                norm.load_state_dict(part.state_dict())
                setattr(parent, name, norm)
    return mine


def descend(loss: Tensor, networks: Sequence[nn.Module], lr: float = 0.01) -> None:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter -= lr * gradient


@pytest.mark.parametrize("mining", ["batch_hard", "random", "semi_hard"])
@pytest.mark.parametrize("judged", [True, False])
def test_one_update_is_that_of_a_plain_loop(judged: bool, mining: str) -> None:
    beta, gamma, mu, margin = 0.6, 0.4, 0.7, 1.5
    given = {"beta": beta, "gamma": gamma, "mu": mu, "margin": margin, "mining": mining}
    still = {"optimizer": {**SLOW["optimizer"], "momentum": 0.0, "name": "momentum"}}
    step = make_step(
        **given, generator=still, discriminator=still, without_discriminator=not judged
    )
    embedder, head = copy.deepcopy(step.embedder.map), copy.deepcopy(step.heads)
    generator = plain(step.generator.network)
    discriminator = plain(step.discriminator.network) if judged else None
    x = images()
    rows = list(zip(*(index.tolist() for index in phases(step)[2]), strict=True))
    assert rows
    places = [place for row in rows for place in row]
    cross = nn.functional.cross_entropy

    features = embedder(x)
    if discriminator is not None:
        real, fake = discriminator(features.detach()), discriminator(generator(features).detach())
        wrong = torch.full((len(places),), IDENTITIES)
        loss = cross(real[places], LABELS[places]) + beta * cross(fake[places], wrong)
        descend(loss, [discriminator])
    moved = generator(features.detach())
    loss = loop_of_triplets(moved, [(a, n, p) for a, p, n in rows], margin)
    if discriminator is not None:
        loss = loss + gamma * cross(discriminator(moved)[places], LABELS[places])
    descend(loss, [generator])
    loss = loop_of_triplets(generator(features), rows, margin)
    loss = loss + mu * cross(features @ head.heads[0].prototypes.weight.T, LABELS)
    descend(loss, [embedder, head])

    stats = step.update([batch()], 0)
    assert stats["loss"].item() == pytest.approx(loss.item(), rel=1e-12)
    pairs = [(step.embedder.map, embedder), (step.heads, head), (step.generator.network, generator)]
    if discriminator is not None:
        pairs.append((step.discriminator.network, discriminator))
    for ours, wanted in pairs:
        for name, value in wanted.named_parameters():
            found = dict(ours.named_parameters())[name]
            torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-11, msg=name)


def test_the_pretrainings_loss() -> None:
    step = make_step(pretraining=1, mu=0.7, margin=0.4)
    rows = list(zip(*(index.tolist() for index in phases(step)[2]), strict=True))
    wanted = loop_of_triplets(images(), rows, 0.4) + 0.7 * step.heads(images(), LABELS).loss
    stats = step.update([batch()], 7)
    assert stats["loss"].item() == pytest.approx(wanted.item(), rel=1e-12)
    assert stats["adversarial/triplet"].item() == pytest.approx(
        loop_of_triplets(images(), rows, 0.4).item(), rel=1e-12
    )


def test_the_gradient_of_the_embedders_triplets_goes_through_the_generator() -> None:
    step = make_step(last_activation="none", margin=4.0)  # no hinge is at its corner
    triplets = phases(step)[2]
    embeddings = images().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: step._through_generator(x, triplets), (embeddings,))
    through = torch.autograd.grad(step._through_generator(embeddings, triplets), embeddings)[0]
    between = losses.square_distances(embeddings)
    past = torch.autograd.grad(losses.embedder_triplet(between, triplets, 4.0), embeddings)[0]
    assert (through - past).norm() > 0.1 * past.norm()


def test_the_generators_triplet_loss_falls_when_it_alone_trains() -> None:
    step = make_step(generator=FAST, without_discriminator=True, margin=0.2)
    features, labels, triplets, shares = phases(step, apart=0)
    told = [step._train_generator(features, labels, triplets, shares, 0) for _ in range(60)]
    first, last = (float(stats["generator_triplet"]) for stats in (told[0], told[-1]))
    assert last < 0.5 * first
    assert told[-1]["generated_violation"] > told[0]["generated_violation"]
    assert told[-1]["generated_margin"] < told[0]["generated_margin"] - 0.5


def test_the_discriminator_separates_when_it_alone_trains() -> None:
    step = make_step(discriminator=FAST)
    features, labels, _, shares = phases(step, apart=0)
    told = [step._train_discriminator(features, labels, shares, 0) for _ in range(250)]
    assert told[0]["told_apart"] < 0.7
    assert told[0]["real_accuracy"] < 0.5
    for name in ("told_apart", "real_accuracy", "generated_accuracy"):
        assert told[-1][name] > 0.95
    assert told[-1]["discriminator"] < 0.1 * told[0]["discriminator"]


def test_without_discriminator_generated_features_lose_their_identity() -> None:
    kept = {}
    for without in (False, True):
        players = {"generator": FAST, "discriminator": FAST, "gamma": 1.0}
        step = make_step(**players, without_discriminator=without)
        with torch.no_grad():  # a classifier that knows every image
            means = images(apart=0).view(IDENTITIES, EACH, SIZE).mean(1)
            step._prototypes.weight.copy_(means)
        features, labels, triplets, shares = phases(step, apart=0)
        for _ in range(100):
            step._train_discriminator(features, labels, shares, 0)
            stats = step._train_generator(features, labels, triplets, shares, 0)
        kept[without] = float(stats["generated_kept"])
    assert kept[True] < 0.5
    assert kept[False] > kept[True] + 0.3


# ---------------------------------------------------------------------- beside


def test_each_network_has_its_own_optimizer_and_schedule() -> None:
    cosine = {"name": "cosine", "warmup_epochs": 0}
    step = make_step(
        pretraining=0.5,
        generator={"optimizer": {"name": "sgd", "lr": 0.2}, "schedule": cosine},
        discriminator={"optimizer": {"name": "adamw", "lr": 0.3}},
    )
    rates = []
    for number in range(UPDATES):
        step.update([batch()], number)
        players = (step.generator, step.discriminator)
        rates.append(tuple(player.optimizer.param_groups[0]["lr"] for player in players))
    wanted = [0.1 * (1 + math.cos(math.pi * since / 4)) for since in range(4)]
    assert [rate for rate, _ in rates[4:]] == pytest.approx(wanted)
    assert {rate for _, rate in rates} == {0.3}
    assert step.learning_rate() == 0.01


def test_gradients_of_every_network_are_clipped() -> None:
    still = {"optimizer": {**SLOW["optimizer"], "momentum": 0.0, "name": "momentum"}}
    step = make_step(clip=1e-3, generator=still, discriminator=still)
    before = [copy.deepcopy(p.network) for p in (step.generator, step.discriminator)]
    stats = step.update([batch()], 0)
    for old, player in zip(before, (step.generator, step.discriminator), strict=True):
        pairs = zip(old.parameters(), player.network.parameters(), strict=True)
        moved = torch.stack([(one - other).norm() for one, other in pairs]).norm()
        assert moved.item() == pytest.approx(0.01 * 1e-3, rel=1e-3)
    for name in ("generator_grad_norm", "discriminator_grad_norm"):
        assert stats[f"adversarial/{name}"] > 1e-2  # as it was before


def test_micro_batches_train_the_adversaries_one_by_one() -> None:
    step = make_step()
    step.update([batch(0), batch(1)], 0)
    state = step.state_dict()
    assert state["generator"]["network"]["offset.1.num_batches_tracked"] == 2
    assert state["discriminator"]["network"]["layers.1.num_batches_tracked"] == 4
    assert step.embedder.calls == 2

    halves = make_step(generator=_still(), discriminator=_still(), mining="all")
    doubled = make_step(generator=_still(), discriminator=_still(), mining="all")
    for one, batches in ((halves, [batch(), batch()]), (doubled, [batch()])):
        one.update(batches, 0)
    for name, value in doubled.embedder.map.named_parameters():
        torch.testing.assert_close(dict(halves.embedder.map.named_parameters())[name], value)


def _still() -> dict[str, Any]:
    return {"optimizer": {"name": "sgd", "lr": 1e-12, "weight_decay": 0}}


def test_the_miner_draws_anew_in_each_update() -> None:
    step = make_step(mining="random")
    for number in range(3):
        assert step._miner.seed_and_step[1] == number
        step.update([batch(), batch()], number)


def test_the_band_of_semi_hard_triplets_is_the_margin() -> None:
    step = make_step(mining="semi_hard", margin=0.05)
    between = losses.square_distances(images(apart=0))
    found = torch.stack(step._miner(between, LABELS))
    assert torch.equal(found, torch.stack(semi_hard(between, LABELS, 0.05)))
    assert found.shape[1] < len(semi_hard(between, LABELS, 9.0).anchor)


def test_a_value_that_is_not_finite_is_named() -> None:
    step = make_step()
    with torch.no_grad():
        step.generator.network.offset[0].weight[0, 0] = float("inf")
    with pytest.raises(TrainingError) as error:
        step.update([batch()], 5)
    assert str(error.value) == (
        "step 5: adversarial/discriminator is nan. Lower adversarial.generator.optimizer.lr and "
        "adversarial.discriminator.optimizer.lr, or use precision fp32"
    )


def test_a_head_with_prototypes_is_needed() -> None:
    with pytest.raises(ConfigError) as error:
        make_step(heads=["contrastive"])
    assert str(error.value) == (
        "adversarial training needs a head with a prototype for each identity: add "
        "{name: softmax} to heads"
    )


def test_the_first_head_with_prototypes_judges_and_all_heads_count() -> None:
    step = make_step(heads=["center", "softmax", "cosine"])
    assert step._prototypes is step.heads.heads[1].prototypes
    stats = step.update([batch()], 0)
    wanted = step._config.mu * stats["adversarial/heads"] + stats["adversarial/triplet"]
    assert stats["loss"].item() == pytest.approx(wanted.item())
    assert {"center/loss", "softmax/loss", "cosine/loss"} <= stats.keys()


# ---------------------------------------------------------------------- two processes


def three_updates(rows: slice) -> dict[str, Any]:
    """Train on these rows; the embedder's gradients are averaged as DDP would."""
    step = make_step(pretraining=1 / UPDATES)
    step.embedder.norm.eval()
    train = step.embedder.train

    def with_frozen_statistics(mode: bool = True) -> nn.Module:
        train(mode)
        step.embedder.norm.eval()
        return step.embedder

    step.embedder.train = with_frozen_statistics
    if dist.is_initialized():

        def average(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= dist.get_world_size()

        step._optimizer.register_step_pre_hook(average)
    for number in range(3):
        step.update([batch(number, rows)], number)
    return step.state_dict()


def case_half() -> dict[str, Any]:
    """Train on one half; and BatchNorm alone, of halves that are not equal."""
    half, first = len(LABELS) // 2, rank() == 0
    state = three_updates(slice(0, half) if first else slice(half, None))
    rows = slice(0, 5) if first else slice(5, None)
    norm, x = BatchNorm(SIZE).double(), images()[rows].requires_grad_()
    output = norm(x)
    (output * images(1)[rows]).sin().sum().backward()
    alone = {
        "buffers": dict(norm.named_buffers()),
        "output": output.detach(),
        "input": x.grad,
        "weight": norm.weight.grad,
        "bias": norm.bias.grad,
    }
    return {"step": state, "norm": alone}


@pytest.mark.slow
def test_two_processes_are_one(assert_same) -> None:
    one, other = in_processes(2, {"half": case_half})("half")
    assert_same(one["step"], other["step"])
    whole = three_updates(slice(None))
    for part in ("embedder", "heads"):
        for name, value in whole[part].items():
            torch.testing.assert_close(one["step"][part][name], value, rtol=1e-9, atol=1e-11)
    for part in ("generator", "discriminator"):
        start = make_step().state_dict()[part]["network"]
        for name, value in whole[part]["network"].items():
            found = one["step"][part]["network"][name]
            torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-11)
            assert not torch.equal(value, start[name]), name

    norm, x = nn.BatchNorm1d(SIZE).double(), images().requires_grad_()
    output = norm(x)
    (output * images(1)).sin().sum().backward()
    ours = [process["norm"] for process in (one, other)]
    torch.testing.assert_close(torch.cat([p["output"] for p in ours]), output.detach())
    torch.testing.assert_close(torch.cat([p["input"] for p in ours]), x.grad)
    torch.testing.assert_close(ours[0]["weight"] + ours[1]["weight"], norm.weight.grad)
    torch.testing.assert_close(ours[0]["bias"] + ours[1]["bias"], norm.bias.grad)
    for name, value in norm.named_buffers():
        torch.testing.assert_close(ours[0]["buffers"][name], value)


def test_the_adversaries_can_learn_at_the_end_of_the_pre_training(assert_same) -> None:
    """In updates 2 and 3 of 8 they learn, and F is what it is without them; from 4 on through G."""
    early, plain = make_step(pretraining=0.5, pretraining_updates=2), make_step(pretraining=0.5)
    for number in range(UPDATES):
        before = snapshot(early)
        told = early.update([batch(number)], number)
        plain.update([batch(number)], number)
        learns = "adversarial/generator_triplet" in told
        assert learns == (number >= 2)
        after = snapshot(early)
        assert changed(before, after, assert_same) >= (
            {"generator", "discriminator"} if learns else set()
        )
        if number < 4:
            assert_same(early.embedder.state_dict(), plain.embedder.state_dict())
    assert not torch.equal(early.embedder.map.weight, plain.embedder.map.weight)


def test_the_first_update_through_an_identical_generator_is_the_plain_triplet() -> None:
    still = {"optimizer": {"name": "sgd", "lr": 1e-12, "weight_decay": 0}}
    config = {"generator_start": "identity", "last_activation": "none", "generator": still}
    step, plain = make_step(**config), make_step(pretraining=1)
    told, wanted = step.update([batch()], 0), plain.update([batch()], 0)
    assert told["adversarial/triplet"].item() == pytest.approx(
        wanted["adversarial/triplet"].item(), rel=1e-9
    )
    torch.testing.assert_close(step.embedder.map.weight, plain.embedder.map.weight)


def test_adversaries_learn_from_given_features_and_the_embedder_stays(assert_same) -> None:
    """As in an update, where D learns first, and G by the triplets of the same batch."""
    given, whole = make_step(), make_step()
    before = snapshot(given)
    features, labels, triplets, _ = phases(given)
    told = given.train_adversaries(features, labels, triplets, 0)
    after = snapshot(given)
    assert changed(before, after, assert_same) == {"generator", "discriminator"}
    stats = whole.update([batch()], 0)
    for part in ("generator", "discriminator"):
        assert_same(after[part], snapshot(whole)[part])
    assert told.keys() >= {"discriminator", "generator_triplet", "offset"}
    for name, value in told.items():
        torch.testing.assert_close(stats[f"adversarial/{name}"], value, msg=name)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pretraining": 0.25, "pretraining_updates": 3}, r"pretraining_updates is 3.*lower it"),
        ({"generator_start": "identity"}, r"generator_start.*needs last_activation 'none'"),
    ],
)
def test_a_start_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_step(**values)
