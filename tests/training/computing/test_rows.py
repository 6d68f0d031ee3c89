"""A sample of the prototypes: whose rows learn, and whose stay as they are."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from facever.core.processes import gather_objects
from facever.training.computing.rows import RowSampling
from tests.heads.layouts import images, make
from tests.processes import Answers, in_processes

IDENTITIES, SIZE, SHARE = 40, 6, 0.25


def updated(optimizer_name: str, layout: dict[str, Any], updates: int = 3) -> list[dict[str, Any]]:
    """Return what each update chose and changed."""
    head = make("cosface", IDENTITIES, SIZE, sampled=SHARE, **layout)
    weight = head.by_identity[0]
    kinds: dict[str, Any] = {
        "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
        "adamw": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1),
        "fused": partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1, fused=True),
    }
    optimizer = kinds[optimizer_name]([weight])
    rows = RowSampling([head], optimizer, SHARE, seed=5)
    told = []
    for number in range(updates):
        x, labels = images("cosface", 4, IDENTITIES, SIZE, seed=number)
        before = weight.detach().clone()
        kept = {k: v.clone() for k, v in optimizer.state[weight].items() if v.ndim}
        with rows.chosen(labels, number):
            assert head.prototypes is not None
            chosen = head.prototypes.sample.clone()
            loss = head(x, labels).loss
            loss.backward()
            assert weight.grad.shape == (len(chosen), SIZE)
            optimizer.step()
        assert weight.grad is None
        assert head.prototypes.sample is None
        told.append(
            {
                "labels": labels,
                "chosen": chosen,
                "changed": (weight.detach() != before).any(1).nonzero()[:, 0],
                "states": {
                    name: (value != kept.get(name, torch.zeros_like(value))).any(1).nonzero()[:, 0]
                    for name, value in optimizer.state[weight].items()
                    if value.ndim
                },
                "first": head.prototypes.first,
                "held": len(weight),
                "loss": float(loss),
            }
        )
    return told


@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "fused"])
def test_only_the_chosen_rows_and_their_state_change(optimizer: str) -> None:
    for update in updated(optimizer, {}):
        chosen: Tensor = update["chosen"]
        assert len(chosen) == SHARE * IDENTITIES
        assert set(update["labels"].tolist()) <= set(chosen.tolist())
        assert torch.equal(update["changed"], chosen)
        assert update["states"]
        for changed in update["states"].values():
            assert set(changed.tolist()) <= set(chosen.tolist())
            assert len(changed) > 0


def test_each_update_draws_anew_and_the_same_seed_the_same() -> None:
    one, other = updated("momentum", {}), updated("momentum", {})
    drawn = [update["chosen"].tolist() for update in one]
    assert drawn == [update["chosen"].tolist() for update in other]
    assert drawn[0] != drawn[1] != drawn[2]


def test_the_batchs_own_are_chosen_beyond_the_share() -> None:
    head = make("cosface", IDENTITIES, SIZE, sampled=0.05)
    rows = RowSampling([head], torch.optim.SGD(head.parameters(), lr=0.1), 0.05, seed=0)
    labels = torch.arange(0, 20, 2)
    with rows.chosen(labels, 0):
        assert head.prototypes is not None
        assert head.prototypes.sample.tolist() == labels.tolist()


@pytest.mark.parametrize("stepped", [False, True])
def test_a_failed_update_leaves_everything_in_place(stepped: bool) -> None:
    head = make("cosface", IDENTITIES, SIZE, sampled=SHARE)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    before = head.by_identity[0].detach().clone()
    rows = RowSampling([head], optimizer, SHARE, seed=0)
    with pytest.raises(KeyboardInterrupt), rows.chosen(torch.tensor([1, 2]), 0):
        if stepped:
            head(torch.ones(2, SIZE), torch.tensor([1, 2])).loss.backward()
            optimizer.step()
        raise KeyboardInterrupt
    assert torch.equal(head.by_identity[0], before)
    assert not optimizer.state[head.by_identity[0]]
    assert head.prototypes is not None
    assert head.prototypes.sample is None


def case_updates(layout: dict[str, Any]) -> list[Any]:
    return gather_objects(updated("momentum", layout))


@pytest.fixture(scope="module")
def two() -> Answers:
    layouts = {"whole": {}, "sharded": {"stored": "sharded"}}
    return in_processes(
        2, {name: partial(case_updates, layout) for name, layout in layouts.items()}
    )


def test_processes_with_whole_prototypes_choose_the_same(two: Answers) -> None:
    first, second = two("whole")[0]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one["chosen"], other["chosen"])


def test_processes_with_shards_choose_among_their_own(two: Answers) -> None:
    first, second = two("sharded")[0]
    assert (first[0]["first"], second[0]["first"]) == (0, IDENTITIES // 2)
    for one, other in zip(first, second, strict=True):
        assert one["loss"] == pytest.approx(other["loss"])
        labels = set(one["labels"].tolist())
        for part in (one, other):
            assert part["held"] == IDENTITIES // 2
            theirs = {int(row) + part["first"] for row in part["chosen"]}
            own = {x for x in labels if part["first"] <= x < part["first"] + part["held"]}
            assert own <= theirs
            assert len(theirs) == SHARE * IDENTITIES / 2
    assert any(
        not torch.equal(one["chosen"], other["chosen"])
        for one, other in zip(first, second, strict=True)
    )
