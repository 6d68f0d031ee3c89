"""Prototypes in shards, streamed or sampled train as whole ones do, on any number of processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from facever.core.processes import gather, rank, world
from facever.data.loading import Batch
from facever.heads.classes.layout import shard_of
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder
from facever.training.computing.optimization import (
    OptimizerConfig,
    Schedule,
    make_optimizer,
    parameter_groups,
)
from facever.training.computing.parallel import DataParallel
from facever.training.computing.precision import Precision
from facever.training.computing.rows import RowSampling
from facever.training.config import DistributedConfig
from facever.training.monitoring.means import Means
from facever.training.steps import EmbeddingStep
from facever.training.supervision.targets import Targets
from tests.heads.layouts import FORMS, make
from tests.processes import Answers, in_processes

IDENTITIES, IMAGES, INPUTS, SIZE, UPDATES = 23, 24, 12, 8, 20
FEW_UPDATES = 6
"""Updates of several processes, which wait for each other on few cores; every one is compared."""

SLICES = {1: [(0, 24)], 2: [(0, 7), (7, 24)], 4: [(0, 5), (5, 5), (5, 16), (16, 24)]}
"""The images of each process, by how many there are: one of four has none."""

FEW = 5
"""Identities of which the last of four processes holds none."""

EVERY = 1 - 1e-9
"""A share that makes a sample of all identities."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "sharded": {"stored": "sharded"},
    "sharded, streamed": {"stored": "sharded", "logits": "streamed"},
    "sharded, sampled": {"stored": "sharded", "sampled": EVERY},
}

ALONE: dict[str, dict[str, Any]] = {
    "streamed": {"logits": "streamed"},
    "sampled": {"sampled": EVERY},
    "sampled, streamed": {"sampled": EVERY, "logits": "streamed"},
}
"""Each process's own images meet whole prototypes: the loss of one process only."""

Answer = dict[str, Any]


class Toy(nn.Module):
    """The smallest embedder: nothing in it depends on which images come together."""

    def __init__(self, length: float) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer, self.length = nn.Linear(INPUTS, SIZE, bias=False), length

    def around_norm(self, images: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.length * torch.tanh(self.layer(images))
        return embeddings, embeddings


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def make_step(
    form: str, optimizer_name: str, layout: dict[str, Any], identities: int
) -> EmbeddingStep:
    embedder = cast(Embedder, Toy(8.0 if form == "magface" else 1.0))
    heads = WeightedSum([make(form, identities, SIZE, **layout)])
    config = OptimizerConfig(name=optimizer_name, lr=0.01)
    optimizer = make_optimizer(parameter_groups(embedder, heads.heads, 0.05, 1.0), config)
    share = layout.get("sampled", 1.0)
    return EmbeddingStep(
        embedder,
        heads,
        optimizer,
        cast(Schedule, SimpleNamespace(set=lambda _: None)),
        Precision("fp32", torch.device("cpu")),
        torch.contiguous_format,
        clip_norm=5.0,
        targets=Targets({}, {}, ""),
        parallel=DataParallel(embedder, DistributedConfig(), example=torch.randn(2, INPUTS)),
        rows=RowSampling(heads.heads, optimizer, share, seed=3) if share < 1 else None,
    )


def batches(updates: int, identities: int) -> Iterator[Batch]:
    """Give this process's images of each update; a few identities never come."""
    stream = torch.Generator().manual_seed(7)
    people = torch.randn(identities, INPUTS, generator=stream)
    first, last = SLICES[world()][rank()]
    for _ in range(updates):
        labels = torch.randint(identities - 3, (IMAGES,), generator=stream)
        images = people[labels] + torch.randn(IMAGES, INPUTS, generator=stream)
        yield Batch(images[first:last], labels[first:last], labels[first:last], [])


def trained(
    form: str,
    layout: dict[str, Any],
    optimizer: str = "momentum",
    dtype: torch.dtype = torch.float64,
    updates: int = UPDATES,
    identities: int = IDENTITIES,
) -> Answer:
    """Return the losses and what they left, the prototypes of all processes together."""
    with computing_in(dtype):
        step, means, told = make_step(form, optimizer, layout, identities), Means(), []
        first: list[Tensor] = []
        for number, batch in enumerate(batches(updates, identities)):
            means.note(step.update([batch], number))
            told.append(means.take())
            first = first or _weights(step)
        state = step.heads.state_dict()
        by_row = [p for head in step.heads.heads for p in head.by_identity]
        kept = [
            value if value.shape != p.shape or not hasattr(p, "shard_of") else gather(value)
            for p in by_row
            for value in step._optimizer.state[p].values()
            if isinstance(value, Tensor)
        ]
    names = {name for name, p in step.heads.named_parameters() if any(p is q for q in by_row)}
    return {
        "told": told,
        "first": first,
        "last": _weights(step),
        "rest": {name: value for name, value in state.items() if name not in names},
        "optimizer": kept,
    }


def _weights(step: EmbeddingStep) -> list[Tensor]:
    embedder = [p.detach().clone() for p in step.embedder.parameters()]
    heads = [
        gather(p).clone() if hasattr(p, "shard_of") else p.detach().clone()
        for p in step.heads.parameters()
    ]
    return [*embedder, *heads]


def assert_same(ours: Answer, whole: Answer) -> None:
    close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-10, equal_nan=True)
    for mine, theirs in zip(ours["told"], whole["told"], strict=True):
        assert mine.keys() == theirs.keys()
        for name in theirs:
            assert mine[name] == pytest.approx(theirs[name], rel=1e-9, abs=1e-10), name
    for key in ("first", "last", "optimizer"):
        for one, other in zip(ours[key], whole[key], strict=True):
            close(one, other)
    assert ours["rest"].keys() == whole["rest"].keys()
    for name, value in whole["rest"].items():
        close(ours["rest"][name], value)


@pytest.fixture(scope="module")
def whole() -> Any:
    known: dict[tuple[Any, ...], Answer] = {}

    def of(*case: Any) -> Answer:
        if case not in known:
            form, *rest = case
            known[case] = trained(form, {}, *rest)
        return known[case]

    return of


@pytest.mark.parametrize("layout", ALONE | LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_one_process(form: str, layout: str, whole: Any) -> None:
    assert_same(trained(form, (ALONE | LAYOUTS)[layout]), whole(form))


def layouts_of(form: str, number: int) -> list[str]:
    """Return the layouts that so many processes try, of which one process tries all.

    Streamed blocks are those that are kept, to the bit (tests/heads/classes), so one form does; of
    four processes a sample does what the kept blocks do, and more.
    """
    if form == "cosface":
        return list(LAYOUTS)
    return ["sharded", "sharded, sampled"] if number == 2 else ["sharded, sampled"]


def cases(number: int) -> dict[str, Any]:
    made = {
        f"{form}/{name}": partial(trained, form, LAYOUTS[name], updates=FEW_UPDATES)
        for form in FORMS
        for name in layouts_of(form, number)
    }
    for name, layout in LAYOUTS.items():
        made[f"few/{name}"] = partial(
            trained, "cosface", layout, updates=FEW_UPDATES, identities=FEW
        )
    made["adamw"] = partial(
        trained, "cosface", LAYOUTS["sharded, sampled"], "adamw", updates=FEW_UPDATES
    )
    for form in FORMS:
        made[f"{form}/fp32"] = partial(
            trained, form, LAYOUTS["sharded"], "momentum", torch.float32, 1
        )
    return made


@pytest.fixture(scope="module", params=[2, 4])
def several(request: pytest.FixtureRequest) -> Answers:
    return in_processes(request.param, cases(request.param))


@pytest.mark.parametrize("form", FORMS)
def test_several_processes(form: str, several: Answers, whole: Any) -> None:
    number = len(several("adamw"))
    expected = whole(form, "momentum", torch.float64, FEW_UPDATES)
    for layout in layouts_of(form, number):
        for answer in several(f"{form}/{layout}"):
            assert_same(answer, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_process_without_identities(layout: str, several: Answers) -> None:
    whole = trained("cosface", {}, updates=FEW_UPDATES, identities=FEW)
    for answer in several(f"few/{layout}"):
        assert_same(answer, whole)


def test_adamw(several: Answers, whole: Any) -> None:
    answers = several("adamw")
    expected = whole("cosface", "adamw", torch.float64, FEW_UPDATES)
    for answer in answers:
        assert_same(answer, expected)


@pytest.mark.parametrize("form", FORMS)
def test_first_step_in_float32(form: str, several: Answers, whole: Any) -> None:
    single = whole(form, "momentum", torch.float32, 1)
    for answer in several(f"{form}/fp32"):
        assert answer["told"][0]["loss"] == pytest.approx(single["told"][0]["loss"], rel=1e-5)
        for one, other in zip(answer["first"], single["first"], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_shards_cover_all_identities() -> None:
    assert shard_of(IDENTITIES) == (0, IDENTITIES)
